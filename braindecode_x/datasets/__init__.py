"""What was measured: one module a dataset, each with format, splits, citation and licence."""

from braindecode_x.datasets.cards import read_card
from braindecode_x.datasets.haxby import Haxby2001, Recording

__all__ = ["Haxby2001", "Recording", "read_card"]

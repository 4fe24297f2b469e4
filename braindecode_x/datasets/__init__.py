"""What was measured: one module a dataset, each with format, splits, citation and licence."""

from braindecode_x.datasets.betas import SubjectBetas
from braindecode_x.datasets.cards import read_card
from braindecode_x.datasets.haxby import Haxby2001, Recording
from braindecode_x.datasets.simulated_fmri import SimulatedFmri
from braindecode_x.datasets.table_betas import TableBetas

__all__ = ["Haxby2001", "Recording", "SimulatedFmri", "SubjectBetas", "TableBetas", "read_card"]

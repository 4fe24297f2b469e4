"""What was measured: one module a dataset, each with format, splits, citation and licence."""

from braindecode_x.datasets.betas import SubjectBetas
from braindecode_x.datasets.cards import read_card
from braindecode_x.datasets.epochs import EpochsCohort, SubjectEpochs
from braindecode_x.datasets.haxby import Haxby2001, Recording
from braindecode_x.datasets.own_epochs import EpochsDataset
from braindecode_x.datasets.simulated_fmri import SimulatedFmri
from braindecode_x.datasets.table_betas import TableBetas

__all__ = [
    "EpochsCohort",
    "EpochsDataset",
    "Haxby2001",
    "Recording",
    "SimulatedFmri",
    "SubjectBetas",
    "SubjectEpochs",
    "TableBetas",
    "read_card",
]

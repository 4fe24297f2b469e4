"""What was measured: one module a dataset, each with format, splits, citation and licence."""

from braindecode_x.datasets.betas import SubjectBetas
from braindecode_x.datasets.bold5000 import Bold5000, Bold5000Betas, Bold5000Voxels
from braindecode_x.datasets.cards import read_card
from braindecode_x.datasets.epochs import EpochsCohort, SubjectEpochs
from braindecode_x.datasets.haxby import Haxby2001, Recording
from braindecode_x.datasets.haxby_runs import HaxbyFetched, HaxbyWholeBrain
from braindecode_x.datasets.own_epochs import EpochsDataset
from braindecode_x.datasets.parcels import Parcels, seitzman
from braindecode_x.datasets.preprocessed_epochs import PreprocessedEpochs
from braindecode_x.datasets.preprocessed_runs import PreprocessedRuns
from braindecode_x.datasets.run_betas import RunBetas
from braindecode_x.datasets.runs import ParcelRun, RunsCohort, SubjectWindows
from braindecode_x.datasets.simulated_corpus import SimulatedCorpus
from braindecode_x.datasets.simulated_eeg import SimulatedEeg, SimulatedMeg
from braindecode_x.datasets.simulated_fmri import SimulatedFmri
from braindecode_x.datasets.simulated_whole_brain import SimulatedWholeBrain
from braindecode_x.datasets.table_betas import TableBetas
from braindecode_x.datasets.things_eeg2 import ThingsEeg2
from braindecode_x.datasets.things_meg import ThingsMeg

__all__ = [
    "Bold5000",
    "Bold5000Betas",
    "Bold5000Voxels",
    "EpochsCohort",
    "EpochsDataset",
    "Haxby2001",
    "HaxbyFetched",
    "HaxbyWholeBrain",
    "ParcelRun",
    "Parcels",
    "PreprocessedEpochs",
    "PreprocessedRuns",
    "Recording",
    "RunBetas",
    "RunsCohort",
    "SimulatedCorpus",
    "SimulatedEeg",
    "SimulatedFmri",
    "SimulatedMeg",
    "SimulatedWholeBrain",
    "SubjectBetas",
    "SubjectEpochs",
    "SubjectWindows",
    "TableBetas",
    "ThingsEeg2",
    "ThingsMeg",
    "read_card",
    "seitzman",
]

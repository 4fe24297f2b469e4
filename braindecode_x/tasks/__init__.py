"""LightningModules: how the systems are trained."""

from braindecode_x.tasks.base import EmbeddingTask
from braindecode_x.tasks.eeg import EegTask
from braindecode_x.tasks.low_level import LowLevelTask
from braindecode_x.tasks.mindbridge import MindBridgeTask
from braindecode_x.tasks.pretraining import PretrainingTask
from braindecode_x.tasks.prior import PriorTask
from braindecode_x.tasks.ridge import RidgeTask
from braindecode_x.tasks.wave import WaveTask

__all__ = [
    "EegTask",
    "EmbeddingTask",
    "LowLevelTask",
    "MindBridgeTask",
    "PretrainingTask",
    "PriorTask",
    "RidgeTask",
    "WaveTask",
]

"""LightningModules: how the systems are trained."""

from braindecode_x.tasks.base import EmbeddingTask
from braindecode_x.tasks.mindbridge import MindBridgeTask
from braindecode_x.tasks.ridge import RidgeTask

__all__ = ["EmbeddingTask", "MindBridgeTask", "RidgeTask"]

"""LightningModules: how the systems are trained."""

from braindecode_x.tasks.base import EmbeddingTask
from braindecode_x.tasks.mindbridge import MindBridgeTask

__all__ = ["EmbeddingTask", "MindBridgeTask"]

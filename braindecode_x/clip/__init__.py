"""CLIP spaces, the encoders that make them, and the cache of their embeddings."""

from braindecode_x.clip.cache import MappedTargets, TargetCache, image_targets, text_targets
from braindecode_x.clip.encoder import ClipEncoder
from braindecode_x.clip.spaces import EmbeddingSpace
from braindecode_x.clip.tokens import TokenEncoder

__all__ = [
    "ClipEncoder",
    "EmbeddingSpace",
    "MappedTargets",
    "TargetCache",
    "TokenEncoder",
    "image_targets",
    "text_targets",
]

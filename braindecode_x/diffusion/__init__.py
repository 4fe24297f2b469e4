"""From embeddings to pictures."""

from braindecode_x.diffusion.conditions import Conditions
from braindecode_x.diffusion.reconstructor import Reconstructor

__all__ = ["Conditions", "Reconstructor"]

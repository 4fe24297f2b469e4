"""Checkpoints in the names of the published implementations, loaded into the networks of this package."""

from braindecode_x.published.atm import load_published_atm, load_published_low_level, load_published_prior
from braindecode_x.published.clip import load_published_clip
from braindecode_x.published.mindbridge import load_published_mindbridge
from braindecode_x.published.wave import load_published_token_prior, load_published_wave

__all__ = [
    "load_published_atm",
    "load_published_clip",
    "load_published_low_level",
    "load_published_mindbridge",
    "load_published_prior",
    "load_published_token_prior",
    "load_published_wave",
]

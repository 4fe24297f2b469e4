"""From what several systems decoded to pictures, and to one table in which they stand beside their controls."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.progress import track

from braindecode_x import __version__
from braindecode_x.clip import ClipEncoder, EmbeddingSpace, image_targets
from braindecode_x.diffusion.reconstruct import SETTINGS, reconstruct_file, write_png
from braindecode_x.diffusion.reconstructor import EMBEDDED
from braindecode_x.embeddings import Embeddings
from braindecode_x.files import atomic_path, write_json
from braindecode_x.metrics.comparison_scores import Row, compared_items, comparison_rows, retrieved
from braindecode_x.metrics.evaluate import nearest_rows, read_reconstructions, write_table
from braindecode_x.metrics.judge import Judge
from braindecode_x.stimuli import ObjectStimuli, Stimuli

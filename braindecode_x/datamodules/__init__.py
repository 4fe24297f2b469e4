"""LightningDataModules: recordings and CLIP targets as batches."""

from braindecode_x.datamodules.batch import Batch, collate
from braindecode_x.datamodules.betas import BetasDataModule
from braindecode_x.datamodules.epochs import EpochsDataModule
from braindecode_x.datamodules.predicted import PredictedEmbeddings
from braindecode_x.datamodules.pretraining import PretrainingDataModule
from braindecode_x.datamodules.windows import WindowsDataModule

__all__ = [
    "Batch",
    "BetasDataModule",
    "EpochsDataModule",
    "PredictedEmbeddings",
    "PretrainingDataModule",
    "WindowsDataModule",
    "collate",
]

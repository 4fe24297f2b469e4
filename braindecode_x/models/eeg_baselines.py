"""Networks of the braindecode library as encoders, for comparison."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

# Lengths in samples of the networks' own defaults, which are for some 250 Hz and trials of a second or more. Those of
# Deep4Net's later filters are made for trials of two seconds; here they fit one.
LENGTHS: dict[str, dict[str, int]] = {
    "EEGNet": {"kernel_length": 64, "depthwise_kernel_length": 16, "pool1_kernel_size": 4, "pool2_kernel_size": 8},
    "ShallowFBCSPNet": {"filter_time_length": 25, "pool_time_length": 75, "pool_time_stride": 15},
    "Deep4Net": {"filter_time_length": 10, "filter_length_2": 5, "filter_length_3": 5, "filter_length_4": 5},
    "EEGConformer": {"filter_time_length": 25, "pool_time_length": 75, "pool_time_stride": 15},
    "ATCNet": {
        "conv_block_kernel_length_1": 64,
        "conv_block_kernel_length_2": 16,
        "conv_block_pool_size_1": 8,
        "conv_block_pool_size_2": 7,
    },
}


class BraindecodeEncoder(nn.Module):
    """A network of braindecode whose outputs, there one a class, are here the features of a trial.

    Parameters
    ----------
    name : {"EEGNet", "ShallowFBCSPNet", "Deep4Net", "EEGConformer", "ATCNet"}
    n_channels, n_times : int
    n_features : int
        Outputs.
    sfreq : float
        Hz. Filters and pooling last as long as at 250 Hz, and less where trials are shorter than a second.
    **options
        More arguments of the network.

    Raises
    ------
    ModuleNotFoundError
        braindecode is not installed.
    ValueError
        The network cannot be made for trials of this size.
    """

    def __init__(self, name: str, n_channels: int, n_times: int, n_features: int, sfreq: float = 250.0, **options: Any):
        super().__init__()
        share = min(sfreq, n_times) / 250
        lengths = {key: max(1, round(length * share)) for key, length in LENGTHS[name].items()}
        if name == "Deep4Net" and n_times < 200:
            lengths |= {"pool_time_length": 2, "pool_time_stride": 2}
        sizes = {"n_chans": n_channels, "n_times": n_times, "n_outputs": n_features, "sfreq": sfreq}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that lengths were shortened further, and old names inside braindecode
                self.network = _network(name)(**sizes, **{**lengths, **options})
                self.network.eval()(torch.zeros(1, n_channels, n_times))
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                f"encoder {name!r}: cannot be made for {n_channels} channels and {n_times} times at {sfreq:g} Hz "
                f"({str(error).splitlines()[0]})"
            ) from error
        self.train()
        self.n_features = n_features

    def forward(self, brain: torch.Tensor, subject: torch.Tensor) -> torch.Tensor:
        """(batch, channels, times) and (batch,) ids to (batch, n_features)."""
        return self.network(brain)


def _network(name: str) -> Any:
    try:
        import braindecode.models
    except ImportError as error:
        raise ModuleNotFoundError(
            f"encoder {name!r} needs the package braindecode: pip install 'braindecode-x[baselines]'"
        ) from error
    return getattr(braindecode.models, name)

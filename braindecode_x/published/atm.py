"""Published ATM: encoder, low-level branch and diffusion prior (arXiv 2403.07721)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from braindecode_x.diffusion.prior import PriorNetwork
from braindecode_x.models.atm_low_level import AtmLowLevel
from braindecode_x.models.eeg import EegDecoder
from braindecode_x.published.states import count, fill, read_state, rename, size_of, wrong_state

ATM_NAMES = {
    r"^encoder\.tokens\.value\.": "encoder.enc_embedding.value_embedding.",
    r"^encoder\.tokens\.subjects\.": "encoder.enc_embedding.subject_embedding.subject_embedding.",
    r"^encoder\.tokens\.anybody$": "encoder.enc_embedding.subject_embedding.shared_embedding",
    r"^encoder\.layers\.(\d+)\.(query|key|value)\.": r"encoder.encoder.attn_layers.\1.attention.\2_projection.",
    r"^encoder\.layers\.(\d+)\.out\.": r"encoder.encoder.attn_layers.\1.attention.out_projection.",
    r"^encoder\.layers\.(\d+)\.wide\.": r"encoder.encoder.attn_layers.\1.conv1.",
    r"^encoder\.layers\.(\d+)\.narrow\.": r"encoder.encoder.attn_layers.\1.conv2.",
    r"^encoder\.layers\.(\d+)\.attention_norm\.": r"encoder.encoder.attn_layers.\1.norm1.",
    r"^encoder\.layers\.(\d+)\.feed_forward_norm\.": r"encoder.encoder.attn_layers.\1.norm2.",
    r"^encoder\.norm\.": "encoder.encoder.norm.",
    r"^encoder\.convolution\.temporal\.": "enc_eeg.0.tsconv.0.",
    r"^encoder\.convolution\.temporal_norm\.": "enc_eeg.0.tsconv.2.",
    r"^encoder\.convolution\.spatial\.": "enc_eeg.0.tsconv.4.",
    r"^encoder\.convolution\.spatial_norm\.": "enc_eeg.0.tsconv.5.",
    r"^encoder\.convolution\.projection\.": "enc_eeg.0.projection.0.",
    r"^image\.first\.": "proj_eeg.0.",
    r"^image\.second\.": "proj_eeg.1.fn.1.",
    r"^image\.norm\.": "proj_eeg.2.",
}
_ATM_UNUSED = re.compile(  # in published checkpoints, but without a part in the answer
    r"logit_scale$|subject_wise_linear\.|.*\.(mask_token|mask_embedding|position_embedding\.pe)$|"
    r".*\.temporal_embedding\."
)
PRIOR_NAMES = {
    r"^first\.": "input_layer.",
    r"^down\.(\d+)\.time\.": r"encode_time_embedding.\1.",
    r"^down\.(\d+)\.condition\.": r"encode_cond_embedding.\1.",
    r"^down\.(\d+)\.change\.": r"encode_layers.\1.",
    r"^up\.(\d+)\.time\.": r"decode_time_embedding.\1.",
    r"^up\.(\d+)\.condition\.": r"decode_cond_embedding.\1.",
    r"^up\.(\d+)\.change\.": r"decode_layers.\1.",
    r"^last\.": "output_layer.",
}


def load_published_atm(
    source: str | Path | Mapping[str, Any], subjects: Sequence[str] | None = None, n_heads: int = 4
) -> EegDecoder:
    """Load ATM-S; sizes are read off the weights.

    Parameters
    ----------
    source : str, Path or mapping
        A file that torch saved, or its content: a state dict, or a training checkpoint with a ``model_state_dict``.
    subjects : sequence of str, optional
        Names of the rows of the subject embedding. Default: "0", "1", ...
    n_heads : int
        Attention heads, which weights do not tell.

    Returns
    -------
    EegDecoder
        In eval mode, on the CPU, with ``published_rows``.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        As for `load_published_mindbridge`; or a number of names that is not the checkpoint's.
    """
    origin, state = read_state(source)
    kind = "ATM-S"
    state = {name: tensor for name, tensor in state.items() if not _ATM_UNUSED.match(name)}
    d_model, n_times = size_of(origin, kind, state, "encoder.enc_embedding.value_embedding.weight")
    d_ff, *_ = size_of(origin, kind, state, "encoder.encoder.attn_layers.0.conv1.weight", n_dims=3)
    n_filters, _, n_channels, _ = size_of(origin, kind, state, "enc_eeg.0.tsconv.4.weight", n_dims=4)
    *_, kernel = size_of(origin, kind, state, "enc_eeg.0.tsconv.0.weight", n_dims=4)
    dim, _ = size_of(origin, kind, state, "proj_eeg.0.weight")
    known, _ = size_of(origin, kind, state, "encoder.enc_embedding.subject_embedding.subject_embedding.weight")
    if subjects is not None and len(subjects) != known:
        raise ValueError(f"subjects: {origin} has {known}, found {len(subjects)} names")
    options = {
        "d_model": d_model,
        "n_heads": n_heads,
        "d_ff": d_ff,
        "n_layers": count(r"encoder\.encoder\.attn_layers\.(\d+)\.", state),
        "published_rows": True,
        "n_filters": n_filters,
        "kernel": kernel,
    }
    names = [str(number) for number in range(known)] if subjects is None else subjects
    model = EegDecoder(names, n_channels, n_times, image_dim=dim, options=options)
    expected = {}
    for name, tensor in model.state_dict().items():
        feed_forward = ".wide.weight" in name or ".narrow.weight" in name  # published as convolutions of one sample
        expected[rename(name, ATM_NAMES)] = tensor[..., None] if feed_forward else tensor
    fill(origin, kind, expected, state)
    return model.eval()


def load_published_low_level(
    source: str | Path | Mapping[str, Any], subjects: Sequence[str] = ("sub-01",)
) -> AtmLowLevel:
    """Load ATM's low-level branch, in eval mode; sizes are read off the weights; arguments and errors as above."""
    origin, state = read_state(source)
    kind = "low-level branch of ATM"
    state = {name.replace("subject_wise_linear.0.", "electrode."): tensor for name, tensor in state.items()}
    state.pop("logit_scale", None)
    d_channel, n_times = size_of(origin, kind, state, "electrode.weight")
    wide = [name for name, tensor in state.items() if name.startswith("upsampler.") and tensor.ndim == 4]
    shapes = [tuple(size_of(origin, kind, state, name, n_dims=4)) for name in wide or ["upsampler.0.weight"]]
    widths = [width for _, width, edge, _ in shapes if edge > 1]
    if len(shapes) < len(widths) + 2:
        raise wrong_state(origin, kind, ["upsampler.21.weight"], [], [], state)
    latent_shape = (shapes[-1][1], 2 ** len(widths), 2 ** len(widths))
    n_channels = shapes[0][0] // d_channel
    model = AtmLowLevel(subjects, n_channels, n_times, latent_shape, d_channel, widths, shapes[-1][0])
    fill(origin, kind, model.state_dict(), state)
    return model.eval()


def load_published_prior(source: str | Path | Mapping[str, Any]) -> PriorNetwork:
    """Load ATM's diffusion prior, in eval mode; sizes are read off the weights; arguments and errors as above."""
    origin, state = read_state(source)
    kind = "diffusion prior of ATM"
    width, dim = size_of(origin, kind, state, "input_layer.0.weight")
    _, condition_dim = size_of(origin, kind, state, "encode_cond_embedding.0.weight")
    _, time_dim = size_of(origin, kind, state, "encode_time_embedding.0.linear_1.weight")
    levels = range(count(r"encode_layers\.(\d+)\.", state))
    widths = [width, *(size_of(origin, kind, state, f"encode_layers.{level}.0.weight")[0] for level in levels)]
    model = PriorNetwork(dim, condition_dim, widths, time_dim)
    expected = {
        rename(name, PRIOR_NAMES): tensor
        for name, tensor in model.state_dict().items()
        if name not in ("mean", "std")  # 0 and 1: published embeddings are taken as they are
    }
    fill(origin, kind, expected, state)
    return model.eval()

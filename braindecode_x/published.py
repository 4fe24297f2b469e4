"""Checkpoints in the names of the published implementations, loaded into the networks of this package."""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch

from braindecode_x.diffusion.prior import PriorNetwork
from braindecode_x.diffusion.token_prior import TokenPriorNetwork
from braindecode_x.models.atm_low_level import AtmLowLevel
from braindecode_x.models.eeg import EegDecoder
from braindecode_x.models.mindbridge import MindBridge
from braindecode_x.models.voxels import Aggregation
from braindecode_x.models.wave import Wave

_TOKEN_SHAPES = {257 * 768: (257, 768), 77 * 768: (77, 768)}  # the paper's targets, of CLIP ViT-L/14
_MINDBRIDGE_NAMES = {  # ours: published
    r"^embedders\.": "embedder.",
    r"^builders\.": "builder.",
    r"^translator\.blocks\.": "translator.mlp.",
    r"\.down\.": ".down_proj.",
    r"\.up\.": ".up_proj.",
}
_ATM_NAMES = {
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
_PRIOR_NAMES = {
    r"^first\.": "input_layer.",
    r"^down\.(\d+)\.time\.": r"encode_time_embedding.\1.",
    r"^down\.(\d+)\.condition\.": r"encode_cond_embedding.\1.",
    r"^down\.(\d+)\.change\.": r"encode_layers.\1.",
    r"^up\.(\d+)\.time\.": r"decode_time_embedding.\1.",
    r"^up\.(\d+)\.condition\.": r"decode_cond_embedding.\1.",
    r"^up\.(\d+)\.change\.": r"decode_layers.\1.",
    r"^last\.": "output_layer.",
}
_WAVE_NAMES = {
    r"^mask_embedding$": "embedder.msk_embed",
    r"^class_embedding$": "embedder.cls_embed",
    r"^embed\.": "embedder.embed_model.model.",
    r"^time\.": "embedder.wt_re.",
    r"^blocks\.": "decoder.transformer.",
    r"^pool\.": "decoder.pooler_layer.",
    r"^unembed\.": "unembedder.model.0.",
}
_TOKEN_PRIOR_NAMES = {
    r"^place$": "learned_query",
    r"^no_condition$": "null_brain_embeds",
    r"^no_noisy$": "null_image_embed",
    r"^time\.0\.": "to_time_embeds.0.1.net.0.0.",
    r"^time\.2\.": "to_time_embeds.0.1.net.1.0.",
    r"^time\.4\.": "to_time_embeds.0.1.net.2.",
    r"^relative\.values\.": "causal_transformer.rel_pos_bias.relative_attention_bias.",
    r"^layers\.(\d+)\.attention\.norm\.gain$": r"causal_transformer.layers.\1.0.norm.g",
    r"^layers\.(\d+)\.attention\.query\.": r"causal_transformer.layers.\1.0.to_q.",
    r"^layers\.(\d+)\.attention\.key_value\.": r"causal_transformer.layers.\1.0.to_kv.",
    r"^layers\.(\d+)\.attention\.null$": r"causal_transformer.layers.\1.0.null_kv",
    r"^layers\.(\d+)\.attention\.out\.0\.": r"causal_transformer.layers.\1.0.to_out.0.",
    r"^layers\.(\d+)\.attention\.out\.1\.gain$": r"causal_transformer.layers.\1.0.to_out.1.g",
    r"^layers\.(\d+)\.feed_forward_norm\.gain$": r"causal_transformer.layers.\1.1.0.g",
    r"^layers\.(\d+)\.wide\.": r"causal_transformer.layers.\1.1.1.",
    r"^layers\.(\d+)\.narrow\.": r"causal_transformer.layers.\1.1.5.",
    r"^norm\.gain$": "causal_transformer.norm.g",
    r"^last\.": "causal_transformer.project_out.",
}
_CLIP_NAMES = {  # open_clip: Hugging Face
    r"^visual\.class_embedding$": "vision_model.embeddings.class_embedding",
    r"^visual\.conv1\.": "vision_model.embeddings.patch_embedding.",
    r"^visual\.positional_embedding$": "vision_model.embeddings.position_embedding.weight",
    r"^visual\.ln_pre\.": "vision_model.pre_layrnorm.",
    r"^visual\.ln_post\.": "vision_model.post_layernorm.",
    r"^visual\.transformer\.resblocks\.": "vision_model.encoder.layers.",
    r"^visual\.proj$": "visual_projection.weight",
    r"^token_embedding\.": "text_model.embeddings.token_embedding.",
    r"^positional_embedding$": "text_model.embeddings.position_embedding.weight",
    r"^ln_final\.": "text_model.final_layer_norm.",
    r"^transformer\.resblocks\.": "text_model.encoder.layers.",
    r"^text_projection$": "text_projection.weight",
    r"\.attn\.out_proj\.": ".self_attn.out_proj.",
    r"\.ln_([12])\.": r".layer_norm\1.",
    r"\.mlp\.c_fc\.": ".mlp.fc1.",
    r"\.mlp\.c_proj\.": ".mlp.fc2.",
}
State = Mapping[str, torch.Tensor]


def load_published_mindbridge(
    source: str | Path | Mapping[str, Any],
    n_voxels: Mapping[str, int] | None = None,
    image_dim: int | Sequence[int] | None = None,
    text_dim: int | Sequence[int] | None = None,
    aggregation: Aggregation = "max",
) -> MindBridge:
    """Load a MindBridge network, of many subjects or of one; sizes are read off the weights.

    Parameters
    ----------
    source : str, Path or mapping
        A file that torch saved, or its content: a state dict, or a training checkpoint with a ``model_state_dict``.
    n_voxels : mapping of str to int, optional
        Voxels of each subject by its name in the checkpoint ("1", "2", ...); batches are then checked against it.
    image_dim, text_dim : int or sequence of int, optional
        Shapes of the embeddings, which the weights hold flat. Default: the paper's token shapes where the size is
        theirs, else flat.
    aggregation : {"max", "average", "resize"}
        How voxels were aggregated in training; the checkpoint does not say.

    Returns
    -------
    MindBridge
        In eval mode, on the CPU; subjects in the checkpoint's order.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file holds more than tensors and plain values, or weights of something else: what is missing, unexpected
        or of another shape is named.
    """
    origin, state = _read_state(source)
    subjects = list(dict.fromkeys(name.split(".")[1] for name in state if name.startswith("embedder.")))
    if not subjects:
        raise _wrong_state(origin, "MindBridge network", ["embedder.<subject>.0.down_proj.weight"], [], [], state)
    first = f"embedder.{subjects[0]}"
    hidden, in_dim = _size(origin, "MindBridge network", state, f"{first}.1.weight")
    adapter_dim, _ = _size(origin, "MindBridge network", state, f"{first}.0.down_proj.weight")
    image_size, _ = _size(origin, "MindBridge network", state, "head_image.weight")
    text_size, _ = _size(origin, "MindBridge network", state, "head_text.weight")
    if n_voxels is not None and set(n_voxels) != set(subjects):
        raise ValueError(f"n_voxels: {origin} has the subjects {subjects}, found {list(n_voxels)}")
    with torch.device("meta"):
        model = MindBridge(
            subjects if n_voxels is None else {name: n_voxels[name] for name in subjects},
            in_dim=in_dim,
            hidden=hidden,
            n_blocks=_count(r"translator\.mlp\.(\d+)\.", state),
            image_dim=_TOKEN_SHAPES.get(image_size, image_size) if image_dim is None else image_dim,
            text_dim=_TOKEN_SHAPES.get(text_size, text_size) if text_dim is None else text_dim,
            aggregation=aggregation,
            adapter_dim=adapter_dim,
            build_voxels=any(name.startswith("builder.") for name in state),
        )
    model.to_empty(device="cpu")
    expected = {_rename(name, _MINDBRIDGE_NAMES): tensor for name, tensor in model.state_dict().items()}
    _fill(origin, "MindBridge network", expected, state)
    return model.eval()


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
    origin, state = _read_state(source)
    kind = "ATM-S"
    state = {name: tensor for name, tensor in state.items() if not _ATM_UNUSED.match(name)}
    d_model, n_times = _size(origin, kind, state, "encoder.enc_embedding.value_embedding.weight")
    d_ff, *_ = _size(origin, kind, state, "encoder.encoder.attn_layers.0.conv1.weight", n_dims=3)
    n_filters, _, n_channels, _ = _size(origin, kind, state, "enc_eeg.0.tsconv.4.weight", n_dims=4)
    *_, kernel = _size(origin, kind, state, "enc_eeg.0.tsconv.0.weight", n_dims=4)
    dim, _ = _size(origin, kind, state, "proj_eeg.0.weight")
    known, _ = _size(origin, kind, state, "encoder.enc_embedding.subject_embedding.subject_embedding.weight")
    if subjects is not None and len(subjects) != known:
        raise ValueError(f"subjects: {origin} has {known}, found {len(subjects)} names")
    options = {
        "d_model": d_model,
        "n_heads": n_heads,
        "d_ff": d_ff,
        "n_layers": _count(r"encoder\.encoder\.attn_layers\.(\d+)\.", state),
        "published_rows": True,
        "n_filters": n_filters,
        "kernel": kernel,
    }
    names = [str(number) for number in range(known)] if subjects is None else subjects
    model = EegDecoder(names, n_channels, n_times, image_dim=dim, options=options)
    expected = {}
    for name, tensor in model.state_dict().items():
        feed_forward = ".wide.weight" in name or ".narrow.weight" in name  # published as convolutions of one sample
        expected[_rename(name, _ATM_NAMES)] = tensor[..., None] if feed_forward else tensor
    _fill(origin, kind, expected, state)
    return model.eval()


def load_published_low_level(
    source: str | Path | Mapping[str, Any], subjects: Sequence[str] = ("sub-01",)
) -> AtmLowLevel:
    """Load ATM's low-level branch, in eval mode; sizes are read off the weights; arguments and errors as above."""
    origin, state = _read_state(source)
    kind = "low-level branch of ATM"
    state = {name.replace("subject_wise_linear.0.", "electrode."): tensor for name, tensor in state.items()}
    state.pop("logit_scale", None)
    d_channel, n_times = _size(origin, kind, state, "electrode.weight")
    wide = [name for name, tensor in state.items() if name.startswith("upsampler.") and tensor.ndim == 4]
    shapes = [tuple(_size(origin, kind, state, name, n_dims=4)) for name in wide or ["upsampler.0.weight"]]
    widths = [width for _, width, edge, _ in shapes if edge > 1]
    if len(shapes) < len(widths) + 2:
        raise _wrong_state(origin, kind, ["upsampler.21.weight"], [], [], state)
    latent_shape = (shapes[-1][1], 2 ** len(widths), 2 ** len(widths))
    n_channels = shapes[0][0] // d_channel
    model = AtmLowLevel(subjects, n_channels, n_times, latent_shape, d_channel, widths, shapes[-1][0])
    _fill(origin, kind, model.state_dict(), state)
    return model.eval()


def load_published_prior(source: str | Path | Mapping[str, Any]) -> PriorNetwork:
    """Load ATM's diffusion prior, in eval mode; sizes are read off the weights; arguments and errors as above."""
    origin, state = _read_state(source)
    kind = "diffusion prior of ATM"
    width, dim = _size(origin, kind, state, "input_layer.0.weight")
    _, condition_dim = _size(origin, kind, state, "encode_cond_embedding.0.weight")
    _, time_dim = _size(origin, kind, state, "encode_time_embedding.0.linear_1.weight")
    levels = range(_count(r"encode_layers\.(\d+)\.", state))
    widths = [width, *(_size(origin, kind, state, f"encode_layers.{level}.0.weight")[0] for level in levels)]
    model = PriorNetwork(dim, condition_dim, widths, time_dim)
    expected = {
        _rename(name, _PRIOR_NAMES): tensor
        for name, tensor in model.state_dict().items()
        if name not in ("mean", "std")  # 0 and 1: published embeddings are taken as they are
    }
    _fill(origin, kind, expected, state)
    return model.eval()


def load_published_wave(
    source: str | Path | Mapping[str, Any], n_heads: int | None = None, time_step: float = 0.2
) -> Wave:
    """Load the whole-brain sequence model of WAVE; sizes are read off the weights.

    Parameters
    ----------
    source : str, Path or mapping
        A file that torch saved, or its content: a state dict, or a training checkpoint with a ``model_state_dict``.
    n_heads : int, optional
        Attention heads, which weights do not tell. Default: one for 64 features, as in the paper.
    time_step : float
        Seconds to which times were rounded.

    Returns
    -------
    Wave
        In eval mode, on the CPU.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        As for `load_published_mindbridge`.
    """
    origin, state = _read_state(source)
    kind = "sequence model of WAVE"
    # files of older versions of transformers also hold the fixed masks of causal attention
    state = {name: tensor for name, tensor in state.items() if not name.endswith((".attn.bias", ".attn.masked_bias"))}
    d_model, n_parcels = _size(origin, kind, state, "embedder.embed_model.model.0.weight")
    n_times, _ = _size(origin, kind, state, "embedder.wt_re.weight")
    n_positions, _ = _size(origin, kind, state, "decoder.transformer.wpe.weight")
    _, inner = _size(origin, kind, state, "decoder.transformer.h.0.mlp.c_fc.weight")
    model = Wave(
        n_parcels,
        d_model,
        n_layers=_count(r"decoder\.transformer\.h\.(\d+)\.", state),
        n_heads=n_heads or max(1, d_model // 64),
        n_positions=n_positions,
        time_step=time_step,
        max_time=(n_times - 1) * time_step,
        feed_forward=inner // d_model,
    )
    _fill(origin, kind, {_rename(name, _WAVE_NAMES): tensor for name, tensor in model.state_dict().items()}, state)
    return model.eval()


def load_published_token_prior(source: str | Path | Mapping[str, Any]) -> TokenPriorNetwork:
    """Load WAVE's token diffusion prior, in eval mode; sizes are read off the weights; arguments and errors as above.

    Weights of a whole prior, whose network's names begin with ``net.``, load too.
    """
    origin, state = _read_state(source)
    kind = "token diffusion prior of WAVE"
    if any(name.startswith("net.") for name in state):
        state = {name.removeprefix("net."): tensor for name, tensor in state.items() if name.startswith("net.")}
    # fixed, and under every block
    state = {name: tensor for name, tensor in state.items() if not name.endswith(".rotary_emb.freqs")}
    n_tokens, d = _size(origin, kind, state, "learned_query")
    _, head = _size(origin, kind, state, "causal_transformer.layers.0.0.null_kv")
    inner, _ = _size(origin, kind, state, "causal_transformer.layers.0.0.to_q.weight")
    _, d_ff = _size(origin, kind, state, "causal_transformer.layers.0.1.5.weight")
    depth = _count(r"causal_transformer\.layers\.(\d+)\.", state)
    model = TokenPriorNetwork((n_tokens, d), depth, inner // head, d_ff // d, head, published_null=True)
    expected = {
        _rename(name, _TOKEN_PRIOR_NAMES): tensor
        for name, tensor in model.state_dict().items()
        if name not in ("mean", "std", "frequencies")
    }
    _fill(origin, kind, expected, state)
    return model.eval()


def load_published_clip(
    source: str | Path | Mapping[str, Any], vision_heads: int | None = None, text_heads: int | None = None
) -> open_clip.CLIP:
    """Load CLIP weights in Hugging Face's names (``CLIPModel``) into open_clip's model; sizes are read off them.

    Parameters
    ----------
    source : str, Path or mapping
        A file that torch saved, or its content: a state dict of picture and text tower together.
    vision_heads, text_heads : int, optional
        Attention heads, which weights do not tell. Default: one for 64 features, as in every model of OpenAI.

    Returns
    -------
    open_clip.CLIP
        In eval mode, on the CPU, with OpenAI's quick GELU. Texts are pooled at their largest token id.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        As for `load_published_mindbridge`.
    """
    origin, state = _read_state(source)
    # older files also hold the fixed table of positions
    state = {name: tensor for name, tensor in state.items() if not name.endswith(".position_ids")}
    kind = "CLIP model in Hugging Face's names"
    vision_width, _, patch, _ = _size(origin, kind, state, "vision_model.embeddings.patch_embedding.weight", n_dims=4)
    n_tokens, _ = _size(origin, kind, state, "vision_model.embeddings.position_embedding.weight")
    vision_mlp, _ = _size(origin, kind, state, "vision_model.encoder.layers.0.mlp.fc1.weight")
    vocabulary, text_width = _size(origin, kind, state, "text_model.embeddings.token_embedding.weight")
    context, _ = _size(origin, kind, state, "text_model.embeddings.position_embedding.weight")
    text_mlp, _ = _size(origin, kind, state, "text_model.encoder.layers.0.mlp.fc1.weight")
    embed_dim, _ = _size(origin, kind, state, "visual_projection.weight")
    vision = {
        "image_size": math.isqrt(n_tokens - 1) * patch,
        "patch_size": patch,
        "width": vision_width,
        "head_width": vision_width // vision_heads if vision_heads else 64,
        "layers": _count(r"vision_model\.encoder\.layers\.(\d+)\.", state),
        "mlp_ratio": vision_mlp / vision_width,
    }
    text = {
        "context_length": context,
        "vocab_size": vocabulary,
        "width": text_width,
        "heads": text_heads or text_width // 64,
        "layers": _count(r"text_model\.encoder\.layers\.(\d+)\.", state),
        "mlp_ratio": text_mlp / text_width,
    }
    model = open_clip.CLIP(embed_dim, open_clip.CLIPVisionCfg(**vision), open_clip.CLIPTextCfg(**text), quick_gelu=True)
    expected = _hugging_face_views(model)
    if "logit_scale" not in state:  # towers saved apart have none
        del expected["logit_scale"]
    _fill(origin, kind, expected, state)
    return model.eval()


def _read_state(source: str | Path | Mapping[str, Any]) -> tuple[str, State]:
    """Return a name for messages and the state dict."""
    origin = "state dict" if isinstance(source, Mapping) else str(source)
    content = source if isinstance(source, Mapping) else _read_file(Path(source))
    if isinstance(content, Mapping) and "model_state_dict" in content:
        content = content["model_state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        found = list(content)[:5] if isinstance(content, Mapping) else type(content).__name__
        raise ValueError(f"{origin}: expected tensors by name, or a model_state_dict of them, found {found}")
    return origin, content


def _read_file(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{path}: damaged, or holds more than tensors and plain values, which could run code when it is read "
            f"({reason}). If you trust it, load it with torch yourself and give its model_state_dict"
        ) from error


def _rename(name: str, patterns: Mapping[str, str]) -> str:
    for pattern, replacement in patterns.items():
        name = re.sub(pattern, replacement, name)
    return name


def _count(pattern: str, state: State) -> int:
    numbers = (match.group(1) for name in state if (match := re.match(pattern, name)))
    return len(set(numbers))


def _size(origin: str, kind: str, state: State, name: str, n_dims: int = 2) -> torch.Size:
    if name not in state:
        raise _wrong_state(origin, kind, [name], [], [], state)
    if state[name].ndim != n_dims:
        shape = f"{name} {tuple(state[name].shape)} instead of {n_dims} dimensions"
        raise _wrong_state(origin, kind, [], [], [shape], state)
    return state[name].shape


def _hugging_face_views(model: open_clip.CLIP) -> dict[str, torch.Tensor]:
    """Give the parameters under Hugging Face's names, in its layout; they share the model's memory."""
    views = {}
    for ours, tensor in model.state_dict().items():
        name = _rename(ours, _CLIP_NAMES)
        if ".attn.in_proj_" in name:  # queries, keys and values in one
            for part, view in zip("qkv", tensor.chunk(3), strict=True):
                views[name.replace(".attn.in_proj_", f".self_attn.{part}_proj.")] = view
        else:
            views[name] = tensor.T if ours in ("visual.proj", "text_projection") else tensor
    return views


def _fill(origin: str, kind: str, expected: State, state: State) -> None:
    """Copy weights into ``expected``, which holds the network's own memory, after names and shapes are found right."""
    counter = "num_batches_tracked"  # of batch normalisation; no answer depends on it, and older files lack it
    expected = {name: tensor for name, tensor in expected.items() if name in state or not name.endswith(counter)}
    missing = [name for name in expected if name not in state]
    unexpected = [name for name in state if name not in expected]
    shapes = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    if missing or unexpected or shapes:
        raise _wrong_state(origin, kind, missing, unexpected, shapes, state)
    for name, tensor in expected.items():
        tensor.copy_(state[name])


def _wrong_state(
    origin: str, kind: str, missing: Sequence[str], unexpected: Sequence[str], shapes: Sequence[str], state: State
) -> ValueError:
    parts = [
        f"{len(names)} {what} ({_some(names)})"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
        if names
    ]
    return ValueError(f"{origin}: not the weights of a {kind}: {', '.join(parts)}; it holds {_some(state)}")


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:4]) + (f", ... ({len(names)} in all)" if len(names) > 4 else "")

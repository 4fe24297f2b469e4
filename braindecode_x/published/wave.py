"""Published WAVE: sequence model and token diffusion prior (arXiv 2411.07121)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from braindecode_x.diffusion.token_prior import TokenPriorNetwork
from braindecode_x.models.wave import Wave
from braindecode_x.published.states import count, fill, read_state, rename, size_of

WAVE_NAMES = {
    r"^mask_embedding$": "embedder.msk_embed",
    r"^class_embedding$": "embedder.cls_embed",
    r"^embed\.": "embedder.embed_model.model.",
    r"^time\.": "embedder.wt_re.",
    r"^blocks\.": "decoder.transformer.",
    r"^pool\.": "decoder.pooler_layer.",
    r"^unembed\.": "unembedder.model.0.",
}
TOKEN_PRIOR_NAMES = {
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
    origin, state = read_state(source)
    kind = "sequence model of WAVE"
    # files of older versions of transformers also hold the fixed masks of causal attention
    state = {name: tensor for name, tensor in state.items() if not name.endswith((".attn.bias", ".attn.masked_bias"))}
    d_model, n_parcels = size_of(origin, kind, state, "embedder.embed_model.model.0.weight")
    n_times, _ = size_of(origin, kind, state, "embedder.wt_re.weight")
    n_positions, _ = size_of(origin, kind, state, "decoder.transformer.wpe.weight")
    _, inner = size_of(origin, kind, state, "decoder.transformer.h.0.mlp.c_fc.weight")
    model = Wave(
        n_parcels,
        d_model,
        n_layers=count(r"decoder\.transformer\.h\.(\d+)\.", state),
        n_heads=n_heads or max(1, d_model // 64),
        n_positions=n_positions,
        time_step=time_step,
        max_time=(n_times - 1) * time_step,
        feed_forward=inner // d_model,
    )
    fill(origin, kind, {rename(name, WAVE_NAMES): tensor for name, tensor in model.state_dict().items()}, state)
    return model.eval()


def load_published_token_prior(source: str | Path | Mapping[str, Any]) -> TokenPriorNetwork:
    """Load WAVE's token diffusion prior, in eval mode; sizes are read off the weights; arguments and errors as above.

    Weights of a whole prior, whose network's names begin with ``net.``, load too.
    """
    origin, state = read_state(source)
    kind = "token diffusion prior of WAVE"
    if any(name.startswith("net.") for name in state):
        state = {name.removeprefix("net."): tensor for name, tensor in state.items() if name.startswith("net.")}
    # fixed, and under every block
    state = {name: tensor for name, tensor in state.items() if not name.endswith(".rotary_emb.freqs")}
    n_tokens, d = size_of(origin, kind, state, "learned_query")
    _, head = size_of(origin, kind, state, "causal_transformer.layers.0.0.null_kv")
    inner, _ = size_of(origin, kind, state, "causal_transformer.layers.0.0.to_q.weight")
    _, d_ff = size_of(origin, kind, state, "causal_transformer.layers.0.1.5.weight")
    depth = count(r"causal_transformer\.layers\.(\d+)\.", state)
    model = TokenPriorNetwork((n_tokens, d), depth, inner // head, d_ff // d, head, published_null=True)
    expected = {
        rename(name, TOKEN_PRIOR_NAMES): tensor
        for name, tensor in model.state_dict().items()
        if name not in ("mean", "std", "frequencies")
    }
    fill(origin, kind, expected, state)
    return model.eval()

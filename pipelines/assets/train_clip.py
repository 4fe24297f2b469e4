"""Train the embedded CLIP: EfficientNet-Lite0 as it is, an MLP projection and a small text tower on top.

    python pipelines/assets/train_clip.py [--downloads FOLDER]

1. Features of 9 views of every trainable picture, cached in ``build/assets/clip`` a view at a time.
2. Projection (1280 -> 1024 -> 512, begun as the features' principal components, GELU(x) - GELU(-x) = x) and text tower
   (128 wide, 3 layers), by contrast of a picture with its caption and with another rendering of its concept, and by an
   8 x 8 thumbnail of the picture, read linearly from the embedding so that it keeps colour and layout.
3. ``build/assets/clip/export``: a folder that ``open_clip`` loads as ``local-dir:``.
"""

from __future__ import annotations

import argparse
import json
import random
from functools import partial
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
from imagenet_networks import MEAN, STD, load_lite
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn
from tqdm import tqdm
from training import (
    BUILD,
    MOVED_VIEWS,
    VIEWS,
    Sitting,
    cached,
    cosine_with_warmup,
    key_of,
    save_half,
    seeded,
    view,
)
from transformers import PreTrainedTokenizerFast

from braindecode_x.files import write_json, write_text
from braindecode_x.stimuli import ObjectStimuli

SEED, CONCEPTS, WARMUP, PEAK, DIM, SIZE, VOCABULARY, CONTEXT = 2, 384, 50, 1e-3, 512, 192, 2048, 24
FOLDER = BUILD / "clip"
MODEL_CFG = {
    "embed_dim": DIM,
    "vision_cfg": {
        "timm_model_name": "tf_efficientnet_lite0",
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "mlp",
        "image_size": SIZE,
    },
    "text_cfg": {
        "context_length": CONTEXT,
        "vocab_size": VOCABULARY,
        "hf_tokenizer_name": "local",
        "width": 128,
        "heads": 4,
        "layers": 3,
        "pool_type": "eos",
        "eos_id": 2,
    },
}
PREPROCESS_CFG = {"mean": [MEAN] * 3, "std": [STD] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}


def train_tokenizer(captions: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE on the captions: no word is unknown, and the embedding stays small."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<pad>", "<start>", "<end>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(captions, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 1), ("<end>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<start>", eos_token="<end>", model_max_length=CONTEXT
    )


@torch.inference_mode()
def view_features(trunk: nn.Module, pixels: torch.Tensor, number: int) -> dict[str, torch.Tensor]:
    """Return features (n, 1280) and thumbnails (n, 3, 8, 8) of one view."""
    features, thumbnails = [], []
    for rows in tqdm(torch.arange(len(pixels)).split(64), desc=f"features of view {number}", mininterval=10):
        images = view(pixels[rows], number, rows, SIZE)
        thumbnails.append(F.adaptive_avg_pool2d(images, 8))
        inputs = ((images - MEAN) / STD).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            features.append(trunk(inputs).float())
    return {"features": torch.cat(features), "thumbnails": torch.cat(thumbnails)}


def cached_features(trunk: nn.Module, name: str, stimuli: ObjectStimuli, views: int) -> list[dict[str, torch.Tensor]]:
    """Return `view_features` of every view; one file a view, made when missing."""
    key, pixels = key_of(stimuli, SIZE), stimuli.pixels(128)
    return [
        cached(FOLDER / f"{name}_{number}.safetensors", key, partial(view_features, trunk, pixels, number))
        for number in range(views)
    ]


def begin_as_principal_components(projection: nn.Module, features: torch.Tensor) -> None:
    """Set the MLP to the whitened-a-little leading principal components of the features."""
    centre, scale = features.mean(0), features.std(0).clamp(min=1e-2)
    _, singular, components = torch.linalg.svd((features - centre) / scale, full_matrices=False)
    weight = components[:DIM] / (singular[:DIM, None] / singular[0]).sqrt() / scale
    weight /= 12
    with torch.no_grad():
        projection.fc1.weight.copy_(torch.cat([weight, -weight]))
        projection.fc1.bias.copy_(torch.cat([-weight @ centre, weight @ centre]))
        projection.fc2.weight.copy_(torch.cat([torch.eye(DIM), -torch.eye(DIM)], 1))


@torch.no_grad()
def begin_as_ridge(thumbnail: nn.Linear, projection: nn.Module, views: list[dict]) -> None:
    """Set the thumbnail's readout to the ridge solution on the embeddings as they begin."""
    embedding = torch.cat([F.normalize(projection(v["features"]), dim=-1) for v in views]) * DIM**0.5
    target = torch.cat([v["thumbnails"] for v in views]).flatten(1)
    centre, mean = embedding.mean(0), target.mean(0)
    gram = (embedding - centre).T @ (embedding - centre) + 0.02 * len(embedding) * torch.eye(DIM)
    weight = torch.linalg.solve(gram, (embedding - centre).T @ (target - mean)).T
    thumbnail.weight.copy_(weight)
    thumbnail.bias.copy_(mean - weight @ centre)


def contrast(a: torch.Tensor, b: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Symmetric InfoNCE of matching rows."""
    logits = scale * a @ b.T
    labels = torch.arange(len(a))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


class Concepts:
    """Training concepts with the rows of their renderings and ways to caption them."""

    def __init__(self, stimuli: ObjectStimuli, tokenizer: PreTrainedTokenizerFast):
        self.stimuli = stimuli
        table = stimuli.table.reset_index()
        self.rows = [group.index.tolist() for _, group in table.groupby("concept", sort=True)]
        first = [rows[0] for rows in self.rows]
        self.captions = [
            [c, c.split(", ")[0], f"{c}, {s}", f"a picture of {c.split(', ')[0]}"]
            for c, s in zip(table["caption"][first], table["subcategory"][first], strict=True)
        ]
        self.tokenizer = tokenizer

    def draw(self, chance: random.Random, concepts: list[int]) -> tuple[list[int], list[int], torch.Tensor]:
        """Two renderings of every concept, and a caption."""
        pairs = [chance.sample(self.rows[c], 2) for c in concepts]
        texts = [chance.choice(self.captions[c]) for c in concepts]
        return [p[0] for p in pairs], [p[1] for p in pairs], tokens(self.tokenizer, texts)


def tokens(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> torch.Tensor:
    """(n, context) token ids."""
    settings = {"padding": "max_length", "truncation": True, "max_length": CONTEXT, "return_tensors": "pt"}
    return tokenizer(texts, **settings).input_ids


def train(model: nn.Module, concepts: Concepts, views: list, held_out: dict, arguments: argparse.Namespace) -> None:
    projection = model.visual.head.mlp
    thumbnail = nn.Linear(DIM, 3 * 64)
    scale = nn.Parameter(torch.tensor([2.7, 2.7]))
    begin_as_principal_components(projection, views[0]["features"])
    begin_as_ridge(thumbnail, projection, views)
    mine = [p for n, p in model.named_parameters() if not n.startswith("visual.trunk") and n != "logit_scale"]
    groups = [
        {"params": mine, "weight_decay": 0.05},
        {"params": [*thumbnail.parameters(), scale], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=PEAK)
    holder = nn.ParameterDict({"scale": scale})
    parts = {"model": model, "thumbnail": thumbnail, "scale": holder, "optimiser": optimiser}
    settings = (SEED, CONCEPTS, PEAK, arguments.steps, arguments.dropout, arguments.drawing, MODEL_CFG)
    sitting = Sitting(f"clip/{arguments.name}", parts, key_of(concepts.stimuli, *settings))
    for step in range(sitting.step, arguments.steps):
        generator, chance = seeded(SEED, step), random.Random(f"{SEED}-{step}")
        torch.manual_seed(step)
        chosen = torch.randperm(len(concepts.rows), generator=generator)[:CONCEPTS].tolist()
        a, b, text = concepts.draw(chance, chosen)
        view_a, view_b = (chance.randrange(MOVED_VIEWS + 1) for _ in range(2))
        view_c = chance.randrange(MOVED_VIEWS + 1, VIEWS)
        rows = torch.tensor([a, b, a])
        features = torch.cat([views[v]["features"][r] for v, r in zip((view_a, view_b, view_c), rows, strict=True)])
        target = torch.cat([views[v]["thumbnails"][r] for v, r in zip((view_a, view_b, view_c), rows, strict=True)])
        embedding = F.normalize(projection(F.dropout(features, arguments.dropout)), dim=-1)
        first, second, _ = embedding.chunk(3)
        words = F.normalize(model.encode_text(text), dim=-1)
        scales = scale.clamp(max=4.0).exp()
        either = torch.where(torch.arange(len(first))[:, None] % 2 == 0, first, second)
        matching = contrast(first, second, scales[0]) + contrast(either, words, scales[1])
        drawing = F.mse_loss(thumbnail(embedding * DIM**0.5), target.flatten(1)) / 0.05
        loss = matching + arguments.drawing * drawing
        for group in optimiser.param_groups:
            group["lr"] = PEAK * cosine_with_warmup(step, arguments.steps, WARMUP)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        last = step + 1 == arguments.steps
        sitting.tick(step + 1, last)
        if (step + 1) % 100 == 0 or last:
            sitting.log(matching=matching.item(), drawing=drawing.item(), **validate(model, thumbnail, held_out))


@torch.inference_mode()
def validate(model: nn.Module, thumbnail: nn.Module, held_out: dict) -> dict[str, float]:
    """Top-1 among the 100 validation concepts, from the 3D rendering, and the thumbnail's explained variance."""
    model.eval()
    embedding = F.normalize(model.visual.head(held_out["features"]), dim=-1)
    words = F.normalize(model.encode_text(held_out["tokens"]), dim=-1)
    solid, *others = embedding.view(-1, 3, DIM).unbind(1)
    same = torch.arange(len(solid))
    target = held_out["thumbnails"].flatten(1).view(len(solid), 3, -1)[:, 0]
    error = (thumbnail(solid * DIM**0.5) - target).square().mean() / target.var(0, correction=0).mean()
    model.train()
    model.visual.trunk.eval()
    return {
        "image_to_image": sum(((solid @ o.T).argmax(1) == same).float().mean().item() for o in others) / 2,
        "image_to_text": ((solid @ words.T).argmax(1) == same).float().mean().item(),
        "thumbnail_r2": 1 - error.item(),
    }


def export(model: nn.Module, tokenizer: PreTrainedTokenizerFast, ids: list[str], target: Path) -> None:
    """Write the folder that ``open_clip`` loads as ``local-dir:``, with the ids of the pictures it was trained on."""
    export_config(target, tokenizer)
    write_text(target / "training_index.txt", "\n".join(ids) + "\n")
    save_half(model, target / "open_clip_model.safetensors")


def export_config(target: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write configuration and tokenizer."""
    target.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(target)
    compact = json.dumps(json.loads((target / "tokenizer.json").read_text()), ensure_ascii=False, separators=(",", ":"))
    write_text(target / "tokenizer.json", compact)
    write_json(target / "open_clip_config.json", {"model_cfg": MODEL_CFG, "preprocess_cfg": PREPROCESS_CFG})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--downloads", type=Path, default=Path("build/downloads"))
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--drawing", type=float, default=1.0, help="weight of the thumbnail loss")
    parser.add_argument("--name", default="run", help="subfolder of this training's checkpoint and log")
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    stimuli = ObjectStimuli()
    seen, held_out = stimuli.trainable(), stimuli.subset(split="validation")
    tokenizer = train_tokenizer(sorted(set(stimuli.subset(rendering="noto").captions)))
    config = FOLDER / "config"
    export_config(config, tokenizer)
    model = open_clip.create_model(f"local-dir:{config}", load_weights=False)
    trunk = load_lite(0, arguments.downloads)
    trunk.reset_classifier(0)
    model.visual.trunk.load_state_dict(trunk.state_dict())
    model.visual.trunk.requires_grad_(False)
    trunk = model.visual.trunk.eval().to(memory_format=torch.channels_last)
    views = cached_features(trunk, "train", seen, VIEWS)
    (scored,) = cached_features(trunk, "validation", held_out, 1)
    scored["tokens"] = tokens(tokenizer, held_out.subset(rendering="fluent3d").captions)
    train(model, Concepts(seen, tokenizer), views, scored, arguments)
    export(model, tokenizer, seen.ids, FOLDER / "export")


if __name__ == "__main__":
    main()

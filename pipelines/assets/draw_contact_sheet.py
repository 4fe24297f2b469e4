"""Draw the contact sheet of the object pictures, ``data_cards/objects.png``.

    python pipelines/assets/draw_contact_sheet.py [--seed 5] [--target FILE]

One block a category, in it three training concepts, one of validation and one of test, drawn by the seed. Each concept
shows its three renderings; the framed ones are new to every trained part.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from braindecode_x.files import atomic_path
from braindecode_x.stimuli import ObjectStimuli
from braindecode_x.stimuli.objects import RENDERINGS

SHOWN = {"train": 3, "validation": 1, "test": 1}
COLOUR = {"train": "#555555", "validation": "#b35900", "test": "#0b5cad"}
PICTURE, GAP, MARGIN = 76, 6, 20
CELL_WIDTH, CELL_HEIGHT = 3 * (PICTURE + GAP) + 14, PICTURE + 34
HEAD, BLOCK_HEAD = 72, 30


def choose(table: pd.DataFrame, seed: int) -> dict[str, list[str]]:
    """Draw the concepts to show of each category, training concepts first."""
    random = np.random.default_rng(seed)
    concepts = table.drop_duplicates("concept")
    chosen: dict[str, list[str]] = {}
    for category, rows in concepts.groupby("category"):
        names = [rows.loc[rows["split"] == split, "concept"].to_numpy() for split in SHOWN]
        drawn = [random.choice(n, count, replace=False) for n, count in zip(names, SHOWN.values(), strict=True)]
        chosen[str(category)] = np.concatenate(drawn).tolist()
    return chosen


def text(draw: ImageDraw.ImageDraw, x: int, y: int, words: str, size: int, colour: str = "#111111") -> int:
    """Write words from (x, y) on and return where they end."""
    font = ImageFont.load_default(size)
    draw.text((x, y), words, fill=colour, font=font)
    return x + round(draw.textlength(words, font=font))


def shortened(concept: str, split: str, width: int) -> str:
    """Give the concept's name, cut so that it and the split fit the width at size 14."""
    font = ImageFont.load_default(14)
    name, room = concept.replace("_", " "), width - font.getlength(f"  {split}")
    while font.getlength(name) > room:
        name = name.rstrip("…")[:-1].rstrip() + "…"
    return name


def draw_concept(sheet: Image.Image, stimuli: ObjectStimuli, concept: str, x: int, y: int) -> None:
    """Draw one concept's renderings side by side, its name and split below."""
    draw = ImageDraw.Draw(sheet)
    split = stimuli.table.at[f"{concept}-{RENDERINGS[0]}", "split"]
    for column, rendering in enumerate(RENDERINGS):
        left = x + column * (PICTURE + GAP)
        picture = stimuli.image(f"{concept}-{rendering}").resize((PICTURE, PICTURE), Image.Resampling.LANCZOS)
        sheet.paste(picture, (left, y))
        if split != "train" and rendering == "fluent3d":
            draw.rounded_rectangle((left - 3, y - 3, left + PICTURE + 2, y + PICTURE + 2), 6, None, COLOUR[split], 2)
    end = text(draw, x, y + PICTURE + 6, shortened(concept, split, CELL_WIDTH - 16), 14)
    text(draw, end + 7, y + PICTURE + 6, split, 14, COLOUR[split])


def draw_sheet(stimuli: ObjectStimuli, seed: int) -> Image.Image:
    """Draw the whole sheet."""
    chosen = choose(stimuli.table, seed)
    counts = stimuli.table.drop_duplicates("concept")["category"].value_counts()
    width = 2 * MARGIN + sum(SHOWN.values()) * CELL_WIDTH
    sheet = Image.new("RGB", (width, HEAD + len(chosen) * (BLOCK_HEAD + CELL_HEIGHT) + MARGIN // 2), "white")
    draw = ImageDraw.Draw(sheet)
    text(draw, MARGIN, 14, f"objects: {counts.sum():,} concepts in three renderings", 22)
    text(draw, MARGIN, 44, "of each: Fluent 3D, Noto, Twemoji; framed: new to every trained part", 14, "#555555")
    for block, (category, concepts) in enumerate(chosen.items()):
        top = HEAD + block * (BLOCK_HEAD + CELL_HEIGHT)
        draw.line((MARGIN, top, width - MARGIN, top), "#cccccc")
        end = text(draw, MARGIN, top + 6, category, 16)
        text(draw, end + 8, top + 8, f"{counts[category]} concepts", 14, "#777777")
        for column, concept in enumerate(concepts):
            draw_concept(sheet, stimuli, concept, MARGIN + column * CELL_WIDTH, top + BLOCK_HEAD)
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--target", type=Path, default=Path("data_cards/objects.png"))
    arguments = parser.parse_args()
    sheet = draw_sheet(ObjectStimuli(), arguments.seed).quantize(256)
    with atomic_path(arguments.target) as temporary:
        sheet.save(temporary, "PNG", optimize=True)


if __name__ == "__main__":
    main()

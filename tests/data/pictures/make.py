"""Write a folder of tiny pictures as users have them: several formats, modes, depths and shapes, a subfolder, captions.

    python tests/data/pictures/make.py FOLDER

Every picture's middle has the colour that ``COLOURS`` gives; where a picture is transparent, white shows.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

WHITE, RED, GREEN, GREY = (255, 255, 255), (200, 30, 20), (20, 160, 40), (128, 128, 128)
COLOURS = {
    "animated": GREEN,
    "cmyk": RED,
    "depth16": GREY,
    "grey": GREY,
    "inside/red": RED,
    "see-through": WHITE,
    "see-through-grey": WHITE,
    "wide": RED,
}
CAPTIONS = {"inside/red": "something red", "wide": 'a wide one, with "quotes" and ünïcode'}


def make_pictures(folder: Path) -> Path:
    """Write the pictures and ``captions.csv``; return the folder."""
    (folder / "inside").mkdir(parents=True, exist_ok=True)
    red, green = Image.new("RGB", (24, 24), RED), Image.new("RGB", (24, 24), GREEN)
    red.save(folder / "inside" / "red.jpg", quality=95)
    red.convert("CMYK").save(folder / "cmyk.jpeg", quality=95)
    Image.new("L", (24, 24), GREY[0]).save(folder / "grey.bmp")
    Image.fromarray(np.full((24, 24), GREY[0] * 257, np.uint16)).save(folder / "depth16.png")
    Image.new("RGBA", (24, 24), (0, 0, 0, 0)).save(folder / "see-through.PNG")
    Image.new("LA", (24, 24), (0, 0)).save(folder / "see-through-grey.webp", lossless=True)
    green.quantize(4).save(folder / "animated.gif", save_all=True, append_images=[red.quantize(4)])
    wide = Image.new("RGB", (60, 20), "white")
    wide.paste(RED, (20, 0, 40, 20))
    wide.save(folder / "wide.tiff")
    rows = [f'{stimulus},"{caption.replace(chr(34), chr(34) * 2)}"' for stimulus, caption in CAPTIONS.items()]
    (folder / "captions.csv").write_text("\n".join(["id,caption", *rows]) + "\n", encoding="utf-8")
    return folder


if __name__ == "__main__":
    make_pictures(Path(sys.argv[1]))

"""Build the packed object pictures from their npm packages.

    python pipelines/assets/build_objects.py [--downloads FOLDER]

Fetches the packages with ``npm pack`` when they are not in the download folder, keeps the concepts that all three
renderings have, composes every picture on white, and writes ``braindecode_x/assets/objects/objects.zip`` (WebP pictures
and ``index.csv``). The same packages give the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import subprocess
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

from object_families import family_of, split_concepts
from PIL import Image
from tqdm import tqdm

from braindecode_x.datasets.haxby_prototypes import CONCEPTS
from braindecode_x.files import atomic_path

PACKAGES = {
    "fluent3d": "@lobehub/fluent-emoji-3d@1.1.0",
    "noto": "emoji-datasource-google@16.0.0",
    "twemoji": "emoji-datasource-twitter@16.0.0",
}
LEFT_OUT = {"Flags", "Symbols", "Component"}
# The categories of Haxby et al. 2001 as concepts of this set; the real recording is decoded to them.
RECORDING_CONCEPTS = set(CONCEPTS.values())
SEED, N_TEST, N_VALIDATION = 2001, 200, 100
SIZE = {"fluent3d": 128, "noto": 64, "twemoji": 64}  # the flat sets are published at 64 pixels
WEBP = {"fluent3d": 82, "noto": 90, "twemoji": 90}


def fetch(package: str, downloads: Path) -> Path:
    """Return the package's archive, asking npm for it when it is not there yet."""
    archive = downloads / (package.lstrip("@").replace("/", "-").replace("@", "-") + ".tgz")
    if not archive.exists():
        downloads.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "pack", package, "--silent"], cwd=downloads, check=True)
    return archive


def read_archives(downloads: Path) -> tuple[list[dict], dict[str, dict[str, bytes]]]:
    """Read the emoji table and each rendering's encoded pictures by codepoints (without variation selectors)."""
    pictures: dict[str, dict[str, bytes]] = {}
    table: list[dict] = []
    for rendering, package in PACKAGES.items():
        pictures[rendering] = {}
        with tarfile.open(fetch(package, downloads)) as archive:
            for member in archive:
                if member.name == "package/emoji.json" and rendering == "noto":
                    table = json.load(archive.extractfile(member))
                if re.search(r"/(assets|img/\w+/64)/[^/]+\.(webp|png)$", member.name):
                    pictures[rendering][_key(Path(member.name).stem)] = archive.extractfile(member).read()
    return table, pictures


def _key(codepoints: str) -> str:
    return codepoints.lower().replace("-fe0f", "")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _words(entry: dict) -> str:
    """Name, then the short names that say something else, as plain words."""
    name = re.sub(r"\bblack\b (?=scissors|telephone|sun|nib)|\bwhite\b (?=smiling|up)", "", entry["name"].lower())
    others = [s.replace("_", " ").replace("-", " ") for s in entry["short_names"] if re.fullmatch(r"[a-z_-]{3,}", s)]
    return ", ".join(dict.fromkeys([name, *others]))


def concept_rows(table: list[dict], pictures: dict[str, dict[str, bytes]]) -> list[dict]:
    """One row per concept that every rendering has: names, category, family and split."""
    entries = [
        e for e in table if e["category"] not in LEFT_OUT and all(_key(e["unified"]) in p for p in pictures.values())
    ]
    slugs = Counter(_slug(e["name"]) for e in entries)
    rows = []
    for entry in entries:
        slug = _slug(entry["name"]) if slugs[_slug(entry["name"])] == 1 else _slug(entry["short_name"])
        rows.append(
            {
                "concept": "scissors" if slug == "black_scissors" else slug,
                "codepoints": _key(entry["unified"]),
                "family": family_of(entry),
                "category": entry["category"],
                "subcategory": entry["subcategory"],
                "caption": _words(entry),
            }
        )
    split = split_concepts({r["concept"]: r["family"] for r in rows}, RECORDING_CONCEPTS, N_TEST, N_VALIDATION, SEED)
    return [{**r, "split": split[r["concept"]]} for r in sorted(rows, key=lambda r: r["concept"])]


def encode(picture: bytes, rendering: str) -> bytes:
    """Compose on white, resize and encode as WebP."""
    image = Image.open(io.BytesIO(picture)).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(white, image).convert("RGB")
    size = SIZE[rendering]
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=WEBP[rendering], method=6)
    return buffer.getvalue()


def write_pack(rows: list[dict], pictures: dict[str, dict[str, bytes]], target: Path) -> None:
    """Write the numbered pictures and ``index.csv``, in the same order, into one zip with fixed dates."""
    index = io.StringIO()
    fields = ["id", "concept", "rendering", "split", "family", "category", "subcategory", "caption", "codepoints"]
    writer = csv.DictWriter(index, fields, lineterminator="\n")
    writer.writeheader()
    with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w") as pack:
        number = 0
        for row in tqdm(rows, desc="pack pictures", mininterval=1):
            for rendering in PACKAGES:
                name = f"{row['concept']}-{rendering}"
                data = encode(pictures[rendering][row["codepoints"]], rendering)
                pack.writestr(zipfile.ZipInfo(f"{number:04}.webp"), data)
                number += 1
                writer.writerow({"id": name, "rendering": rendering, **row})
        pack.writestr(zipfile.ZipInfo("index.csv"), index.getvalue(), zipfile.ZIP_DEFLATED, 9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--downloads", type=Path, default=Path("build/downloads"), help="folder of the npm archives")
    parser.add_argument("--target", type=Path, default=Path("braindecode_x/assets/objects/objects.zip"))
    arguments = parser.parse_args()
    table, pictures = read_archives(arguments.downloads)
    rows = concept_rows(table, pictures)
    write_pack(rows, pictures, arguments.target)
    print(f"{len(rows)} concepts, {Counter(r['split'] for r in rows)}, {arguments.target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

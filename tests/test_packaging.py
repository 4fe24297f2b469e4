from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import pytest

import braindecode_x
from braindecode_x.datasets.cards import parse_front_matter
from braindecode_x.resources import PACKAGE, asset

ROOT = Path(__file__).parent.parent
ASSETS = PACKAGE / "assets"
CARDS = sorted((ROOT / "data_cards").glob("*.md"))
PIPELINES = sorted((ROOT / "pipelines").rglob("README.md"))
PAGES = [ROOT / "README.md", *CARDS, *PIPELINES, *sorted(ASSETS.glob("*/*.md"))]


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_console_script_leads_somewhere(project):
    module, function = project["scripts"]["braindecode-x"].split(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_dependencies_have_no_upper_bounds(project):
    extras = project["optional-dependencies"]
    assert {"test", "notebooks"} <= extras.keys()
    for requirement in [*project["dependencies"], *extras["test"], *extras["notebooks"]]:
        assert not re.search(r"<|==|~=|!=", requirement), requirement


def test_one_version_everywhere(project):
    assert braindecode_x.__version__ in (project["version"], "0+unknown")
    assert f"version: {project['version']}" in (ROOT / "CITATION.cff").read_text()
    assert project["version"] in (ROOT / "CHANGELOG.md").read_text()


def test_licence_files_of_the_project_exist(project):
    for pattern in project["license-files"]:
        assert list(ROOT.glob(pattern)), pattern


def test_assets_stay_small():
    assert sum(path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()) <= 80e6


@pytest.mark.parametrize("folder", sorted(p.name for p in ASSETS.iterdir() if p.is_dir()))
def test_assets_say_whose_they_are(folder):
    files = [*(ASSETS / folder).glob("LICENSE*"), *(ASSETS / folder).glob("ATTRIBUTION*")]
    assert any("licen" in path.read_text(encoding="utf-8").lower() for path in files)


def test_missing_asset_says_what_to_do():
    with pytest.raises(FileNotFoundError, match=r"no_such: this embedded file is missing; reinstall"):
        asset("no_such")


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)
def test_cards_have_what_every_card_has(card):
    front_matter = parse_front_matter(card)
    assert {"name", "title", "licence", "source"} <= front_matter.keys()
    assert front_matter["name"] == card.stem
    assert front_matter.get("kind") in ("simulated", "published") or (ASSETS / card.stem).is_dir()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_links_and_pictures_of_pages_exist(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), target

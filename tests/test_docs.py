"""The pages say what the code says."""

import re
import textwrap
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

import harness
from harness.extras import DISTRIBUTION
from harness.grids.rooms import Room
from harness.ledger.schema import Checkpoint
from harness.methods import base

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
ARCHITECTURE = (DOCS / "architecture.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_linked_file_exists(page: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_named_file_exists(page: Path) -> None:
    for target in re.findall(
        r"`((?:harness|tests|docs|reports|experiments)/[\w./]+)", page.read_text(encoding="utf-8")
    ):
        assert "NAME" in target or (ROOT / target).exists(), target


def test_the_order_of_calls_is_the_contract_s() -> None:
    (block,) = re.findall(r"order of calls:\n\n(.*?)\n\n\S", base.__doc__ or "", flags=re.DOTALL)
    assert f"```\n{textwrap.dedent(block)}\n```" in ARCHITECTURE


def test_every_key_of_a_checkpoint_is_named() -> None:
    keys = re.findall(r"^\| `(\w+)` \|", section("What a checkpoint holds"), flags=re.MULTILINE)
    assert sorted(keys) == sorted(each.name for each in fields(Checkpoint))


def test_every_seed_of_a_run_is_named() -> None:
    used = set()
    for path in (ROOT / "harness" / "training").glob("*.py"):
        draws = r'(?:seed_for|rng_for|_names|_order)\(\s*"(\w+)"|names=\("(\w+)"'
        used |= {"".join(found) for found in re.findall(draws, path.read_text(encoding="utf-8"))}
    assert set(re.findall(r"^\| `(\w+)` \|", section("Names of seeds"), flags=re.MULTILINE)) == used


def section(title: str) -> str:
    return ARCHITECTURE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_version_stands_in_one_place_and_is_the_newest_of_the_changelog() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "harness/__init__.py"
    versions = re.findall(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert versions[0] == harness.__version__
    assert f"\nversion: {harness.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_distribution_is_not_the_other_harness() -> None:
    """What pip is told about it; no page installs the other one; the demo needs no test tools."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == DISTRIBUTION == "crcl-harness"
    assert project["scripts"] == {"harness": "harness.cli:main"}
    assert project["classifiers"]
    assert project["urls"]
    assert {"mlflow>=3.7,<4", "optuna>=5.0,<6", "pydantic>=2.7,<3"} <= set(project["dependencies"])
    extras = project["optional-dependencies"]
    small = " ".join([*project["dependencies"], *extras["demo"], *extras["build"]])
    assert not re.search(r"\b(ray|submitit|pytest|mypy|ruff|wandb|tensorboard)\b", small)
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "harness").rglob("*.py"), ROOT / "Dockerfile"]
    for page in pages:
        for named in re.findall(r"pip install '?([\w-]+)\[", page.read_text(encoding="utf-8")):
            assert named == DISTRIBUTION, page
    for extra in re.findall(r"crcl-harness\[([\w,]+)\]", " ".join(page.read_text(encoding="utf-8") for page in pages)):
        assert set(extra.split(",")) <= extras.keys(), extra


def test_the_declarations_travel_with_the_wheel() -> None:
    """Where `harness list` looks for them outside a checkout."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    included = settings["targets"]["wheel"]["force-include"]
    assert included == {room: f"harness/rooms/{room}" for room in get_args(Room)}
    assert all(list((ROOT / room).rglob("*.toml")) for room in included)

"""The pages say what the code says."""

import re
import textwrap
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

import harness
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

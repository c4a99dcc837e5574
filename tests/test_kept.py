"""What is kept between commands: the same as made anew, never stale, and no torch in a verb that trains nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import kept
from harness.errors import HarnessError
from harness.grids import declarations, load_grid, single_run
from harness.launch import length
from harness.spec import KINDS, own
from harness.spec.facts import _kept, _read, facts, own_facts

GRID = """title = "t"
[run]
dataset = "twemoji"
backbone = "vse_infinity"
method = "infonce"
noise = "caption_level"
schedule.epochs = 2
[axes]
seed = [0, 1]
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache that is used although torch is here."""
    monkeypatch.setattr(kept, "SAVES", True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _kept.cache_clear()
    yield tmp_path / "cache"
    _kept.cache_clear()


def kept_files(cache: Path, what: str) -> list[Path]:
    return list(cache.glob(f"harness/*/{what}-*.json"))


@pytest.mark.parametrize("name", declarations("experiments"))
@pytest.mark.parametrize("smoke", [False, True])
def test_a_kept_grid_is_the_one_made_anew(cache: Path, name: str, smoke: bool) -> None:
    made = load_grid(name, smoke=smoke)
    found = load_grid(name, smoke=smoke)
    assert made == found
    assert len(kept_files(cache, "grid")) == (0 if name == "clip" else 1)  # its networks may be a folder
    assert [cell.run.table() for cell in made.cells] == [cell.run.table() for cell in found.cells]
    lengths = [length.count_steps((cell.run, 30_000) for cell in grid.cells) for grid in (made, found)]
    assert lengths[0] == lengths[1]
    assert len(kept_files(cache, "steps")) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_kept_facts_are_those_of_the_classes(cache: Path, kind: str) -> None:
    first = dict(own_facts(kind))
    _kept.cache_clear()
    assert own_facts(kind) == first == {name: _read(cls) for name, cls in own(kind).items()}


def test_a_grid_that_changed_is_read_again(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "g.toml"
    path.write_text(GRID)
    assert len(load_grid(path).cells) == 2
    path.write_text(GRID.replace("[0, 1]", "[0, 1, 2]"))
    assert len(load_grid(path).cells) == 3
    assert len(load_grid(path, only={"seed": ["1"]}).cells) == 1
    assert load_grid(path, settings={"schedule.lr": 0.5}).cells[0].run.schedule.lr == 0.5
    path.write_text(GRID.replace("infonce", "infonc"))
    for _ in range(2):
        with pytest.raises(HarnessError, match="infonc"):
            load_grid(path)


def test_a_run_without_a_file_is_kept_too(cache: Path) -> None:
    settings: dict[str, Any] = {"dataset": "twemoji", "method": "crcl"}
    assert single_run(settings) == single_run(settings)
    assert len(kept_files(cache, "grid")) == 1


def test_what_depends_on_other_files_is_not_kept(cache: Path, tmp_path: Path) -> None:
    """A noise file, a folder of weights and a class of another package may change, and the grid's file stay."""
    path = tmp_path / "g.toml"
    path.write_text(GRID.replace('backbone = "vse_infinity"', 'backbone = { name = "clip", model = "tiny-random" }'))
    load_grid(path)
    path.write_text(GRID.replace('"infonce"', '"harness.methods.infonce:InfoNCE"'))
    load_grid(path)
    assert not kept_files(cache, "grid")


def test_a_damaged_file_is_made_anew(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "g.toml"
    path.write_text(GRID)
    first = load_grid(path)
    (file,) = kept_files(cache, "grid")
    file.write_bytes(b'{"cells": ')
    assert load_grid(path) == first
    assert json.loads(file.read_bytes())


def test_other_code_keeps_for_itself(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept.keep("x", 1, lambda: "old") == "old"
    monkeypatch.setattr(kept, "_code", lambda: "another")
    assert kept.keep("x", 1, lambda: "new") == "new"
    (old,) = (folder for folder in (cache / "harness").iterdir() if folder.name != "another")
    os.utime(old, (0, 0))
    monkeypatch.setattr(kept, "_code", lambda: "a third")
    kept.keep("x", 1, lambda: "new")
    assert not old.exists()


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "SAVES", True)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert [kept.keep("x", 1, lambda: 7) for _ in range(2)] == [7, 7]


def test_facts_of_another_packages_class() -> None:
    ours = facts("method", "infonce")
    assert facts("method", "harness.methods.infonce:InfoNCE") == ours
    with pytest.raises(HarnessError, match="unknown method"):
        facts("method", "infonc")


@pytest.mark.slow
def test_verbs_that_train_nothing_start_without_torch(tmp_path: Path) -> None:
    """The second time; the first time reads the classes."""
    verbs = [["list"], ["list", "crcl"], ["check", "demo"], ["status", "demo"], ["check", "rivals"]]
    script = f"""
import sys
from harness.cli import group
for verb in {verbs}:
    group(verb, standalone_mode=False)
print("torch" in sys.modules, file=sys.stderr)
"""
    found = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        for _ in range(2)
    ]
    assert [run.stderr.strip() for run in found] == ["True", "False"]
    assert found[0].stdout == found[1].stdout

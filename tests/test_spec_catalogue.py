"""Components outside the package: named by module and class, or by an entry point; in every process; on record."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from toy import TOY, harness

from harness.errors import HarnessError
from harness.ledger import Ledger
from harness.spec import find, name_of

MINE = '''
from typing import Annotated

from pydantic import Field

from harness.backbones import VSEInfinity
from harness.methods.infonce import InfoNCE
from harness.noise.caption_level import CaptionLevel


class Scaled(InfoNCE):
    """InfoNCE, its loss scaled.

    More about it.
    """

    def __init__(self, *, tau: float = 0.05, scale: Annotated[float, Field(gt=0)] = 2.0) -> None:
        super().__init__(tau=tau)
        self.scale = scale

    def loss(self, *arguments):
        return {"loss": self.scale * super().loss(*arguments)["loss"]}


class Network(VSEInfinity):
    """VSE-infinity under another name."""


class Shuffle(CaptionLevel):
    """Caption-level noise under another name."""


class Placed(InfoNCE):
    """Takes its hyperparameter by position."""

    def __init__(self, tau: float = 0.05) -> None:
        super().__init__(tau=tau)


class Open(InfoNCE):
    """Says not what it takes."""

    def __init__(self, **more: float) -> None:
        super().__init__(**more)


class Untyped(InfoNCE):
    """Says not of which type."""

    def __init__(self, *, tau=0.05) -> None:
        super().__init__(tau=tau)


def function() -> None:
    pass
'''
GRID = f"""{TOY}
[run.method]
name = "mine.parts:Scaled"
scale = 3.0
[axes]
seed = [0]
"""


@pytest.fixture
def mine(workplace: Path) -> Path:
    """A folder to work in, with a package `mine` beside the data."""
    (workplace / "mine").mkdir()
    (workplace / "mine" / "parts.py").write_text(MINE)
    (workplace / "mine" / "broken.py").write_text("import no_such_module\n")
    grid = GRID.replace('"caption_level"', '"mine.parts:Shuffle"').replace('"vse_infinity"', '"mine.parts:Network"')
    (workplace / "toy.toml").write_text(grid.replace("lr = 2e-3", "lr = 2e-3, epochs = 1"))
    return workplace


def run_script(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The console script: unlike `python -m harness` it does not look for modules in the folder it is started in."""
    script = "import sys; sys.path = [p for p in sys.path if p]; from harness.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=cwd, capture_output=True, text=True, timeout=1800,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160"},
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["1", pytest.param("2", marks=pytest.mark.long)])
def test_a_grid_of_components_of_ones_own_is_trained_and_recorded(mine: Path, processes: str) -> None:
    ran = run_script("run", "toy.toml", "--processes", processes, cwd=mine)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    [cell] = Ledger(mine / "runs").cells()
    result = cell.result() or {}
    imported = {entry["kind"]: entry for entry in result["environment"]["imported"]}
    digest = hashlib.sha256(MINE.encode()).hexdigest()
    assert {kind: entry["class"] for kind, entry in imported.items()} == {
        "noise": "mine.parts:Shuffle", "backbone": "mine.parts:Network", "method": "mine.parts:Scaled",
    }  # fmt: skip
    assert {(entry["file"], entry["sha256"]) for entry in imported.values()} == {(str(mine / "mine/parts.py"), digest)}
    network = cell.path("model.safetensors")
    scored = run_script("evaluate", str(network), "toy", cwd=mine)
    assert f"rsum {result['test']['full']['rsum']:.1f}" in scored.stdout, scored.stderr
    elsewhere = run_script("evaluate", str(network), "toy", "--data", "../data", cwd=mine / "runs")
    assert elsewhere.returncode == 2
    assert f"{network}: backbone.name = 'mine.parts:Network': mine.parts cannot be imported" in elsewhere.stderr


@pytest.mark.slow
def test_a_run_of_this_projects_components_names_none(workplace: Path) -> None:
    text = TOY.replace("lr = 2e-3", "lr = 2e-3, epochs = 1") + 'method = "infonce"\n'
    (workplace / "toy.toml").write_text(text)
    assert harness("run", "toy.toml", cwd=workplace).returncode == 0
    [cell] = Ledger(workplace / "runs").cells()
    assert (cell.result() or {})["environment"]["imported"] is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "mime.parts:Scaled",
            "mime.parts cannot be imported: ModuleNotFoundError: No module named 'mime'; accepted: a",
        ),
        ("mine.broken:Scaled", "mine.broken cannot be imported: ModuleNotFoundError: No module named 'no_such"),
        ("mine.parts:Scale", "mine.parts has no Scale; did you mean 'Scaled'?"),
        ("mine.parts:function", "mine.parts:function is function, not a class"),
        (
            "mine.parts:Network",
            "mine.parts:Network is no method; accepted: a class that extends harness.methods.Method",
        ),
        ("mine.parts:Placed", "its constructor takes tau by position; accepted: keyword-only arguments"),
        ("mine.parts:Open", "its constructor takes **more; accepted: keyword-only arguments"),
        ("mine.parts:Untyped", "its constructor gives tau no type; accepted: keyword-only arguments"),
        ("thing", "unknown method; accepted: bicro, "),
    ],
)
def test_a_name_that_means_no_component_is_one_line(
    mine: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(mine)
    monkeypatch.setattr(sys, "path", [*sys.path])
    try:
        with pytest.raises(HarnessError) as caught:
            find("method", name)
    finally:
        for module in [module for module in sys.modules if module.partition(".")[0] == "mine"]:
            del sys.modules[module]
    assert str(caught.value).startswith(f"method.name = {name!r}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_value_out_of_range_is_told_with_file_and_key(mine: Path) -> None:
    path = mine / "toy.toml"
    path.write_text(path.read_text().replace("scale = 3.0", "scale = -1.0"))
    ran = harness("check", "toy.toml", cwd=mine)
    assert ran.returncode == 2
    assert "toy.toml: cell 'seed=0': method.scale = -1.0: accepted: more than 0" in ran.stderr


@pytest.mark.slow
def test_list_shows_them(mine: Path) -> None:
    shown = run_script("list", "mine.parts:Scaled", cwd=mine).stdout
    assert "InfoNCE, its loss scaled." in shown
    assert "default 2.0, > 0" in shown
    asked = run_script("list", "mine.parts:function", cwd=mine)
    assert asked.returncode == 2
    assert "mine.parts:function: is no method, backbone or noise model" in asked.stderr


@pytest.mark.slow
def test_an_entry_point_is_named_as_ones_own(mine: Path) -> None:
    package = mine / "mine_of_old-1.2.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: mine-of-old\nVersion: 1.2\n")
    (package / "top_level.txt").write_text("mine\n")
    (package / "entry_points.txt").write_text("[harness.methods]\nscaled = mine.parts:Scaled\nlost = mine.gone:Lost\n")
    path = mine / "toy.toml"
    path.write_text(path.read_text().replace("mine.parts:Scaled", "scaled"))
    where = os.pathsep.join([str(mine), *filter(None, [os.environ.get("PYTHONPATH")])])
    listed = harness("list", cwd=mine, PYTHONPATH=where).stdout
    assert "InfoNCE, its loss scaled." in listed
    assert "lost" in listed
    assert "mine.gone cannot be imported" in listed
    ran = harness("run", "toy.toml", cwd=mine, PYTHONPATH=where)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    [cell] = Ledger(mine / "runs").cells()
    record: dict[str, Any] = json.loads(cell.path("result.json").read_text())
    [method] = [entry for entry in record["environment"]["imported"] if entry["kind"] == "method"]
    assert (method["name"], method["class"]) == ("scaled", "mine.parts:Scaled")
    assert (method["package"], method["version"]) == ("mine-of-old", "1.2")
    asked = harness("list", "scaledd", cwd=mine, PYTHONPATH=where)
    assert "did you mean 'scaled'?" in asked.stderr


def test_a_class_has_a_name_that_finds_it() -> None:
    assert name_of("method", find("method", "crcl")) == "crcl"
    assert name_of("method", find("method", "harness.methods.rcl:RCL")) == "rcl"

"""A method takes one new file and one line: tried on a copy of the package."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic import write_dataset
from toy import write_grid

ROOT = Path(__file__).parents[1]

FILE = '''"""InfoNCE from images to captions alone."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from harness.methods.base import Method, PairBatch, Progress, State, square
from harness.methods.softmax import log_matching


class OneWay(Method):
    """Only images look for captions."""

    label_state = "share"

    def __init__(self, *, tau: Annotated[float, Field(gt=0)] = 0.05) -> None:
        self.tau = tau

    def declare_state(self) -> dict[str, float]:
        return {"share": 1.0}

    def loss(self, scores: Tensor, batch: PairBatch, state: State, progress: Progress) -> dict[str, Tensor]:
        log_p = log_matching(square(scores), self.tau)[0].diagonal()
        state["share"][batch.pair_ids] = log_p.detach().exp()
        return {"loss": -log_p.mean()}
'''
LINE = '    "one_way": "OneWay",\n'
GRID = """
[axes]
"noise.rate" = [0.4]
[axes.method.one_way]
method = { name = "one_way", tau = 0.2 }
schedule.epochs = 2
"""


# One process, since each would load torch; and a worker without its launcher, whose mirror in MLflow takes ten seconds.
SCRIPT = """
import sys
from pathlib import Path

import toy
from harness.cli import group

for arguments in (["list", "one_way"], ["check", "toy.toml"]):
    assert not group(arguments, standalone_mode=False), arguments
toy.finished(Path(), sys.argv[1], Path("data"))
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A checkout with the method added, and a small data set `toy` in its folder `data`."""
    shutil.copytree(ROOT / "harness", tmp_path / "harness")
    for room in ("experiments", "sweeps", "reports"):
        (tmp_path / room).symlink_to(ROOT / room)
    methods = tmp_path / "harness" / "methods"
    (methods / "one_way.py").write_text(FILE)
    table = methods / "__init__.py"
    text, after = table.read_text(), '    "zero_shot": "ZeroShot",\n'
    assert text.count(after) == 1
    table.write_text(text.replace(after, after + LINE))
    write_dataset(tmp_path / "data" / "toy", images={"train": 16, "dev": 8, "test": 8})
    return tmp_path


@pytest.mark.slow
def test_a_method_is_listed_checked_and_trained(copy: Path) -> None:
    write_grid(copy, GRID)
    where = os.pathsep.join([str(copy), str(ROOT / "tests")])
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, GRID], cwd=copy, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": where, "OMP_NUM_THREADS": "1", "COLUMNS": "160"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for said in ("Only images look for captions.", "tau", "1 cell, 1 to train"):
        assert said in ran.stdout
    [folder] = [path.parent for path in (copy / "runs").glob("*/result.json")]
    assert json.loads((folder / "spec.json").read_text())["run"]["method"] == {"name": "one_way", "tau": 0.2}
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 2
    assert rows[1]["values"]["train/loss"] < rows[0]["values"]["train/loss"]
    assert (folder / "labels.npy").exists()

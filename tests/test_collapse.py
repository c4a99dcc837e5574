"""Labels that have collapsed are told wherever a run is told of."""

from pathlib import Path
from typing import Any

import pytest
from ledger_toys import a_result

from harness.api.running import Ran
from harness.cli.running import show_end
from harness.cli.status import _words
from harness.launch.display import Display, describe
from harness.ledger import Cell, Ledger
from harness.ledger.collapse import COLLAPSED, collapsed
from harness.methods.failures import DEAD

SAID = "labels collapsed: 97% are zero"


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    cell = Ledger(tmp_path).add({"fingerprint": "0" * 16, "grid": "g", "cell": "crcl seed=0", "labels": {}, "run": {}})
    cell.write_result(a_result(labels={"labels/auc": 0.5, "labels/share_zero": 0.97}))
    return cell


def test_when_and_in_which_words() -> None:
    assert collapsed(0.97) == SAID
    assert not collapsed(0.94)
    assert not collapsed(None)
    assert COLLAPSED == DEAD  # of `harness diagnose`


def test_in_the_progress() -> None:
    beat: dict[str, Any] = {"epoch": 1, "epochs": 4, "piece": 0, "pieces": 1, "step": 3, "steps": 9, "label_mean": 0.0}
    assert SAID in describe({**beat, "share_zero": 0.97})
    assert "collapsed" not in describe({**beat, "share_zero": 0.4})


def test_at_the_end_and_in_the_status(cell: Cell, capsys: pytest.CaptureFixture[str]) -> None:
    display = Display([cell])
    display._tell(cell, "done")
    assert SAID in capsys.readouterr().out
    show_end("g", Ran({cell: "done"}, {}, {}, 0))
    assert "labels collapsed in crcl seed=0; `harness diagnose` says more" in capsys.readouterr().out
    assert _words(cell, "done").endswith(SAID)

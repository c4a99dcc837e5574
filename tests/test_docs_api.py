"""docs/api.md: its blocks run, in their order, in one namespace."""

import re
from pathlib import Path
from typing import Any

import pytest
from toy import TOY

PAGE = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
GRID = """
[axes.method.crcl]
method = { name = "crcl", pieces = [4], freeze_epochs = 3, beta = 0.5 }
noise.rate = 0.4
schedule.lr = 1e-2
"""  # the toy is learnt in four epochs
BLOCKS = re.findall(r"```python(?: file=(\S+))?\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.slow
def test_every_block_runs(workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.setenv("MPLBACKEND", "agg")
    (workplace / "beta.toml").write_text(TOY + GRID)
    names: dict[str, Any] = {}
    for file, text in BLOCKS:
        if file:
            (workplace / file).write_text(text)
        else:
            exec(compile(text, "docs/api.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "['done']" in printed
    assert set(names["runs"]["method.name"]) == {"crcl", "infonce"}
    assert set(names["runs"]["noise.rate"]) == {0.4}
    (line,) = names["axes"].get_lines()
    assert list(line.get_xdata()) == [0, 1, 2, 3]
    assert line.get_label() == "0.5"
    good, pairs = names["good"], names["pairs"]
    assert 0 < len(good) < len(pairs)
    assert good["clean"].mean() > pairs["clean"].mean() + 0.1  # the toy can be learned
    assert len((workplace / "good.csv").read_text().splitlines()) == len(good) + 1
    assert names["labels"].mean() < 1  # they were corrected
    assert names["run"].spec.method.parameters == {"tau": 0.1}
    assert names["run"].state == "done"


def test_the_page_says_which_functions_there_are() -> None:
    import harness

    losses = ("crcl", "rcl", "infonce", "triplet", "sum_hinge", "match", "correct_labels")
    assert all(hasattr(harness.losses, name) and name in PAGE for name in losses)
    assert all(hasattr(harness, name) for name in re.findall(r"harness\.(\w+)\(", PAGE))

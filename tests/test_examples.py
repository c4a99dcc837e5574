"""examples/: the notebook's cells run, in their order, in one namespace, without a kernel (which would cost more than
the cells do); and the outputs that are committed are short."""

import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[1] / "examples" / "first_look.ipynb"
BOOK = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
CODE = ["".join(cell["source"]) for cell in BOOK["cells"] if cell["cell_type"] == "code"]


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.setenv("MPLBACKEND", "agg")
    names: dict[str, Any] = {}
    for number, text in enumerate(CODE):
        exec(compile(text, f"first_look.ipynb, code cell {number}", "exec"), names)
    printed = capsys.readouterr().out
    assert set(names["runs"]["method.name"]) == {"crcl", "infonce"}
    assert names["runs"]["test.rsum"].notna().all()
    assert names["found"] > (~names["pairs"]["clean"]).mean() + 0.2  # the toy can be learned, and labels tell
    assert "the same test figures: True" in printed
    assert (tmp_path / "first_look" / "crcl-attributes" / "README.md").is_file()


def test_the_notebook_is_one() -> None:
    assert BOOK["nbformat"] == 4
    assert len({cell["id"] for cell in BOOK["cells"]}) == len(BOOK["cells"])
    assert NOTEBOOK.stat().st_size < 200_000
    assert not [out for cell in BOOK["cells"] for out in cell.get("outputs", []) if out["output_type"] == "error"]

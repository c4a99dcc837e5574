"""What comes from data stays data: in a spreadsheet, in Markdown, and as the name of a picture."""

import os
from pathlib import Path

import pytest
from PIL import Image

from harness.audit.thumbnails import small
from harness.data.build.pictures import Pictures
from harness.errors import HarnessError
from harness.printing.markdown import markdown
from harness.printing.sheet import as_text
from harness.printing.table import Column, Section, Table, Value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"), ("+1+1", "'+1+1"), ("-2+3", "'-2+3"), ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"), ("-0.25", "-0.25"), ("+1e-05", "+1e-05"), ("a dog = a dog", "a dog = a dog"), (-1.5, -1.5),
    ],
)  # fmt: skip
def test_no_cell_is_a_formula(value: object, expected: object) -> None:
    assert as_text(value) == expected


def test_markdown_carries_no_html() -> None:
    evil = "<script>alert(1)</script> p < 0.05 <!-- x -->"
    table = Table([Column(evil)], [[[Value(evil)]]])
    text = markdown(Section(evil, [evil, table, [evil]], level=1))
    assert "<script" not in text
    assert "</script" not in text
    assert "<!--" not in text
    assert "p < 0.05" in text


@pytest.mark.parametrize("name", ["../secret.png", "sub/../../secret.png", "/etc/hostname"])
def test_a_picture_outside_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    with pytest.raises(HarnessError, match=f"{name!r} leads out of the folder"):
        Pictures(folder).check([name])
    with pytest.raises(HarnessError, match="leads out of the folder"):
        Pictures(folder).load(name, 4)
    assert small(Pictures(folder), name, 4) is None  # a page goes without


def test_a_pipe_is_no_picture_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(HarnessError, match=r"'pipe.png' is no regular file"):
        Pictures(tmp_path).check(["pipe.png"])
    assert small(Pictures(tmp_path), "pipe.png", 4) is None


def test_nothing_is_unpickled() -> None:
    """Tensors are read by torch's reader of weights alone, arrays without objects; the one that reads official
    checkpoints lets nothing else through."""
    for path in (Path(__file__).parents[1] / "harness").rglob("*.py"):
        code = path.read_text()
        for word in ("pickle_load", "pickle.load", "Unpickler(", "allow_pickle=True", "weights_only=False", "joblib"):
            assert word not in code, (path, word)
        for line in code.splitlines():
            assert "torch.load(" not in line or "weights_only=True" in line or line.strip().startswith("saved: as"), (
                path
            )

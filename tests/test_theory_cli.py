"""`harness theory`: what it prints and writes, and its exit status."""

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from toy import harness

from harness.cli.theory import command
from harness.reporting.figures.theory import draw_bound, draw_momentum
from harness.reporting.theory import tabulate_claims, worst_cases
from harness.theory import Case, put_to_the_test, robustness
from harness.theory.case import below, equal

NAMES = (
    "theory.md",
    "theory.csv",
    "theory_bound.png",
    "theory_bound.svg",
    "theory_bound.pdf",
    "theory_momentum.png",
    "theory_momentum.svg",
    "theory_momentum.pdf",
)


@pytest.mark.long
def test_it_writes_table_and_figures_the_same_twice(tmp_path: Path) -> None:
    ran = [harness("theory", "--smoke", "--out", tmp_path / name, cwd=tmp_path) for name in ("a", "b")]
    for once in ran:
        assert once.returncode == 0, once.stdout + once.stderr
    assert "| yes" in ran[0].stdout
    assert "| NO" not in ran[0].stdout
    for name in NAMES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    frame = pd.read_csv(tmp_path / "a" / "theory.csv")
    claimed = frame[frame["claimed"]]
    assert claimed["holds"].all()
    assert len(claimed) > 1000
    assert {"transform", "candidates", "eta", "q", "noise", "beta", "measured", "theory", "cases"} <= set(frame)


@pytest.mark.slow
def test_a_broken_bound_is_exit_status_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = robustness.spread
    monkeypatch.setattr(robustness, "spread", lambda *a: right(*a) / 2)
    ran = CliRunner().invoke(command, ["--smoke", "--out", str(tmp_path)], standalone_mode=False)
    assert ran.return_value == 1
    assert "| NO" in ran.output


def test_the_table_counts_and_names_the_worst() -> None:
    cases = [
        below("a", {"q": 0.0}, 0.5, 1.0),
        below("a", {"q": 0.0}, 0.9, 1.0),
        below("a", {"q": 1.0}, 1e-12, 0.0),
        equal("b", {"beta": 0.5}, 1.0, 2.0, 0.1),
        below("c", {"q": 1.0}, 1.0, 0.0, claimed=False),
    ]
    rows = [[value.text for value in row] for row in tabulate_claims(cases).rows]
    assert rows == [
        ["a", "3", "0.9", "0.900", "yes"],
        ["b", "1", "1", "2.000", "NO"],
        ["(c)", "1", "1", "over", "not claimed"],
        ["q = 1: every excess above whose bound is 0", "1", "1e-12", "0.001", "yes"],
    ]
    assert worst_cases(cases)["cases"].tolist() == [2, 1, 1, 1]
    assert worst_cases(cases)["measured"].tolist()[0] == 0.9


def test_figures_are_functions_of_the_cases() -> None:
    cases: list[Case] = put_to_the_test(1, 3)
    frame = worst_cases(cases)
    assert [len(draw(frame).axes) for draw in (draw_bound, draw_momentum)] == [4, 4]


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    ran = harness("theory", "--trials", "0", cwd=tmp_path)
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr

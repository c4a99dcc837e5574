"""The curves of a run, and how labels beside lines are spread apart."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from ledger_toys import a_row
from reporting_toys import make_grid

from harness.ledger import Ledger
from harness.reporting.figures.curves import draw_one, figures
from harness.reporting.figures.style import spread


def test_a_runs_curves_break_at_pieces_and_mark_the_selected_epoch() -> None:
    values = [{"dev/rsum": 10.0 * e, "labels/auc": None if e == 0 else 0.5} for e in range(4)]
    rows = [a_row(e, piece=e // 2, epoch_in_piece=e % 2, values=values[e]) for e in range(4)]
    made = draw_one("a run", rows, {"piece": 1, "epoch": 0})
    above, below = made.axes
    data = [(list(line.get_xdata()), list(line.get_ydata())) for line in above.get_lines()]
    assert ([1, 2], [0.0, 10.0]) in data
    assert ([3, 4], [20.0, 30.0]) in data
    assert ([3], [20.0]) in data  # the selected epoch's ring
    assert {"selected: 20.0", "piece 2"} <= {text.get_text() for text in above.texts}
    assert ([2, 3, 4], [0.5, 0.5, 0.5]) in [(list(n.get_xdata()), list(n.get_ydata())) for n in below.get_lines()]


def test_a_run_without_labels_has_one_panel_and_one_without_epochs_no_figure(tmp_path: Path) -> None:
    assert len(draw_one("a run", [a_row(0, values={"dev/rsum": 1.0})]).axes) == 1
    grid = make_grid(tmp_path)
    cell = Ledger(tmp_path / "runs").add(grid.cells[0].entry("toy"))
    assert figures(cell) == {}
    cell.append_row(a_row(0, values={"dev/rsum": 1.0}))
    assert list(figures(cell)) == ["curves"]


def test_labels_are_spread_apart_in_order_and_within_the_axes() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 2, 5, 9):
        for _ in range(50):
            wanted = list(rng.choice([0.0, 0.1, 0.5, 0.52, 0.9, 1.0, 1.2], count))
            placed = spread(wanted, 0.1, 0.0, 1.0)
            assert all(-1e-9 <= height <= 1 + 1e-9 for height in placed)
            by_height = sorted(range(count), key=lambda i: placed[i])
            assert all(placed[b] - placed[a] >= 0.1 - 1e-9 for a, b in itertools.pairwise(by_height))
            assert all(wanted[a] <= wanted[b] for a, b in itertools.pairwise(by_height))
    assert spread([0.2, 0.5, 0.8], 0.1, 0, 1) == [0.2, 0.5, 0.8]  # nothing moves without need
    assert spread([0.5, 0.5], 0.1, 0, 1) == pytest.approx([0.45, 0.55])

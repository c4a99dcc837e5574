"""Failure signatures: each is found where it is, and not where it is not."""

from pathlib import Path
from typing import Any

import pytest
from ledger_toys import a_result, a_row

from harness.ledger import Cell, Ledger
from harness.reporting.diagnosis import diagnose

GOOD = {
    "train/share_active": 0.4, "labels/auc": 0.9, "labels/mean_clean": 0.6, "labels/mean_noisy": 0.1,
    "labels/share_zero": 0.4, "dev/rsum": 300.0,
}  # fmt: skip


def a_run(
    root: Path,
    *,
    beta: float = 0.8,
    pieces: tuple[int, ...] = (0, 0, 1, 1),
    rsum: float | None = 300.0,
    method: str = "crcl",
    **values: Any,
) -> Cell:
    """A run whose rows hold GOOD, or for a list in `values` one number per epoch."""
    run = {"method": {"name": method, "beta": beta}, "seed": 0}
    name = f"{beta}-{len(list(root.glob('*')))}"
    cell = Ledger(root).add({"fingerprint": name, "grid": "g", "cell": name, "labels": {}, "run": run})
    for epoch, piece in enumerate(pieces):
        row = {k: (values[k][epoch] if isinstance(values.get(k), list) else values.get(k, v)) for k, v in GOOD.items()}
        row = {key: value for key, value in row.items() if value is not None}
        in_piece = epoch - pieces.index(piece)
        cell.append_row(a_row(epoch, piece=piece, epoch_in_piece=in_piece, values=row))
    if rsum is not None:
        cell.write_result(a_result(best={"piece": 0, "epoch": 0, "epochs": 0, "dev/rsum": rsum}))
    return cell


def verdicts(cell: Cell, others: Any = ()) -> dict[str, tuple[str, str]]:
    return {finding.signature: (finding.verdict, finding.words) for finding in diagnose(cell, others)}


def test_labels_that_do_not_improve(tmp_path: Path) -> None:
    name = "labels do not improve from piece to piece"
    better = verdicts(a_run(tmp_path, **{"labels/auc": [0.5, 0.80, 0.8, 0.85]}))
    same = verdicts(a_run(tmp_path, **{"labels/auc": [0.5, 0.85, 0.9, 0.85]}))
    assert better[name] == ("ok", "label AUC at the end of each piece: 0.800, 0.850")
    assert same[name][0] == "found"
    assert same[name][1].startswith("label AUC at the end of each piece: 0.850, 0.850. Look at the first estimates")
    assert verdicts(a_run(tmp_path, pieces=(0, 0)))[name][0] == "not judged"
    assert verdicts(a_run(tmp_path, **{"labels/auc": None}))[name][0] == "not judged"


def test_a_higher_beta_that_hurt(tmp_path: Path) -> None:
    name = "a higher beta made things worse"
    low, high = a_run(tmp_path, beta=0.5, rsum=310.0), a_run(tmp_path, beta=0.95, rsum=290.0)
    for cell in (low, high):
        verdict, words = verdicts(cell, [low, high])[name]
        assert verdict == "found"
        assert "0.5: 310.0, 0.95: 290.0" in words
    assert verdicts(low, [low])[name][0] == "not judged"
    better = a_run(tmp_path, beta=0.99, rsum=312.0)
    assert verdicts(low, [low, high, better])[name][0] == "ok"


def test_a_complementary_loss_that_dominates(tmp_path: Path) -> None:
    name = "the complementary loss dominates"
    assert verdicts(a_run(tmp_path))[name][0] == "ok"
    verdict, words = verdicts(a_run(tmp_path, **{"train/share_active": [0.5, 0.3, 0.1, 0.001]}))[name]
    assert verdict == "found"
    assert "50% in the first epoch, 99.9% at last" in words
    assert verdicts(a_run(tmp_path, **{"train/share_active": None}))[name][0] == "not judged"


def test_labels_that_collapsed(tmp_path: Path) -> None:
    name = "the labels collapsed"
    assert verdicts(a_run(tmp_path))[name][0] == "ok"
    dead = a_run(tmp_path, **{"labels/share_zero": 0.99, "labels/mean_clean": 0.003})
    verdict, words = verdicts(dead)[name]
    assert verdict == "found"
    assert "99% of the labels are zero, the mean label of the pairs that noise left alone is 0.003" in words
    real = a_run(tmp_path, **{"labels/share_zero": 0.97, "labels/mean_clean": 0.01, "labels/mean_noisy": None})
    assert (
        "97% of the labels are zero, the mean label is 0.010" in verdicts(real)[name][1]
    )  # nobody knows the clean ones
    unknown = a_run(tmp_path, **{"labels/share_zero": 0.97, "labels/mean_clean": None, "labels/mean_noisy": None})
    assert verdicts(unknown)[name][0] == "found"
    assert verdicts(a_run(tmp_path, **{"labels/share_zero": None}))[name][0] == "not judged"


def test_retrieval_that_fell_after_its_best_epoch(tmp_path: Path) -> None:
    name = "dev retrieval fell after its best epoch"
    fell = a_run(tmp_path, **{"dev/rsum": [400.0, 50.0, 300.0, 200.0]})
    assert verdicts(fell)[name][0] == "found"
    assert "best dev rSum 300.0 in piece 2 of 2, epoch 1 of 2, 200.0 at last" in verdicts(fell)[name][1]
    assert verdicts(a_run(tmp_path, **{"dev/rsum": [400.0, 50.0, 300.0, 290.0]}))[name][0] == "ok"


@pytest.mark.parametrize("rsum", [None, 1.0])
def test_a_run_without_an_epoch_is_not_judged(tmp_path: Path, rsum: float | None) -> None:
    assert list(verdicts(a_run(tmp_path, pieces=(), rsum=rsum))) == ["nothing to judge"]


def test_another_method_is_judged_by_the_general_signatures_alone(tmp_path: Path) -> None:
    cell = a_run(tmp_path, method="infonce", **{"labels/share_zero": 0.99, "dev/rsum": [400.0, 50.0, 300.0, 200.0]})
    assert {name: verdict for name, (verdict, _) in verdicts(cell).items()} == {
        "dev retrieval fell after its best epoch": "found",
        "the labels collapsed": "found",
    }
    crcl = a_run(tmp_path, beta=0.5)
    assert verdicts(crcl, [crcl, cell])["a higher beta made things worse"][0] == "not judged"

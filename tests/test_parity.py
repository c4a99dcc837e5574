"""`harness verify`: the official golden values where they are, and folders of our own making everywhere."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from oracles import losses, retrieval

from harness.cli.verify import command
from harness.errors import HarnessError
from harness.parity.golden import verify
from harness.parity.kinds import KINDS
from harness.parity.reading import deviation


def test_official_golden_values(shared: Path) -> None:
    folders = (shared / "golden", shared / "golden" / "rivals")
    reports = {report.file: report for folder in folders for report in verify(folder)}
    assert set(KINDS) - set(reports) <= {"crcl_labels.npz"}  # which nobody has computed yet
    for report in reports.values():
        assert report.passed, report
    assert reports["crcl_step.npz"].comparisons == 30
    assert reports["tokens.jsonl"].comparisons == 600


def pair(folder: Path, name: str, cases: list[dict[str, Any]], arrays: dict[str, Any]) -> None:
    np.savez(folder / f"{name}.npz", **arrays)
    (folder / f"{name}.json").write_text(json.dumps(cases))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Golden files made with the slow twins."""
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(6), 2)
    scores = rng.normal(size=(6, 12)).astype(np.float32)
    values = retrieval.retrieval(scores.tolist(), owner.tolist())
    both = {way: {k.removeprefix(f"{way}_"): v for k, v in values.items() if way in k} for way in ("i2t", "t2i")}
    pair(tmp_path, "retrieval", [{"case": 0, "captions_per_image": 2, **both}], {"m0_sims": scores})

    sims, slopes = rng.uniform(-1, 1, (4, 4)).astype(np.float32), np.zeros((4, 4))
    for i, j in np.ndindex(4, 4):
        nudge = np.zeros((4, 4))
        nudge[i, j] = 1e-6
        slopes[i, j] = losses.infonce((sims + nudge).tolist(), 0.5) / 2e-6
        slopes[i, j] -= losses.infonce((sims - nudge).tolist(), 0.5) / 2e-6
    case = {"case": 0, "loss_name": "infonce", "tau": 0.5, "loss": losses.infonce(sims.tolist(), 0.5)}
    pair(tmp_path, "baseline_losses", [case], {"b0_sims": sims, "b0_grad_sims": slopes})

    rows = [{"caption": "A man's dog.", "tokens": ["a", "man", "'s", "dog", "."]}]
    (tmp_path / "tokens.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


PIECES, PAIRS, BATCH = (3, 2), 7, 4  # 2 steps an epoch, the second not full
LOCKSTEP = {"beta": 0.6, "tau": 0.2, "epsilon": 0.3, "frozen_epochs": 1, "complementary_weight": 5.0}


@pytest.fixture
def lockstep(tmp_path: Path) -> Path:
    """Labels and losses of a training of two pieces, one pair at a time."""
    rng = np.random.default_rng(1)
    twins = [losses.CRCLLabels(beta=0.6, epsilon=0.3, frozen_epochs=1) for _ in range(PAIRS)]
    found: dict[str, list[Any]] = {name: [] for name in ("sims", "rows", "piece", "epoch", "losses", "labels")}
    for piece, epoch in ((piece, epoch) for piece, length in enumerate(PIECES) for epoch in range(length)):
        order = rng.permutation(PAIRS)
        for rows in (order[:BATCH], order[BATCH:]):
            n = len(rows)
            sims = np.zeros((BATCH, BATCH), dtype=np.float32)
            sims[:n, :n] = rng.uniform(-0.5, 0.5, (n, n)) + 0.3 * np.diag(rows < 5)
            scores = sims[:n, :n].tolist()
            p, q = losses.matching(scores, 0.2)
            labels = [twins[row].step(piece, epoch, (p[i][i] + q[i][i]) / 2) for i, row in enumerate(rows)]
            loss = losses.crcl_active(scores, labels, 0.2)
            loss += 5 * losses.crcl_complementary(scores, [1 - label for label in labels], 0.2)
            padded = np.append(rows, [-1] * (BATCH - n))
            for name, value in zip(found, (sims, padded, piece, epoch, loss), strict=False):
                found[name].append(value)
        found["labels"].append([twin.stored for twin in twins])
    arrays = {f"c0_{name}": np.array(values) for name, values in found.items()}
    pair(tmp_path, "crcl_labels", [{"case": 0, **LOCKSTEP}], arrays)
    return tmp_path


def run(folder: Path) -> Result:
    return CliRunner().invoke(command, [str(folder)])


def test_a_good_folder_passes(folder: Path) -> None:
    (folder / "README.md").write_text("other files are left alone")
    result = run(folder)
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.output.splitlines()]
    assert [(row[0], row[1], row[-1]) for row in rows[1:]] == [
        ("baseline_losses.npz", "2", "ok"),
        ("retrieval.npz", "10", "ok"),
        ("tokens.jsonl", "1", "ok"),
    ]


def test_a_loss_above_tolerance_fails_by_name(folder: Path) -> None:
    path = folder / "baseline_losses.json"
    cases = json.loads(path.read_text())
    cases[0]["loss"] += 1e-3
    path.write_text(json.dumps(cases))
    result = run(folder)
    assert result.exit_code == 1
    assert "FAILED, worst is infonce: loss" in result.output
    assert result.output.count("  ok\n") == 2  # the others are compared all the same


def test_metrics_are_exact(folder: Path) -> None:
    path = folder / "retrieval.json"
    cases = json.loads(path.read_text())
    cases[0]["t2i"]["meanr"] += 1e-9
    path.write_text(json.dumps(cases))
    result = run(folder)
    assert result.exit_code == 1
    assert "FAILED, worst is case 0: t2i meanr" in result.output


def test_a_different_token_fails(folder: Path) -> None:
    (folder / "tokens.jsonl").write_text(json.dumps({"caption": "A dog.", "tokens": ["a", "dog."]}))
    result = run(folder)
    assert result.exit_code == 1
    assert "worst is 'A dog.'" in result.output


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("retrieval.npz", b"not a zip"),
        ("retrieval.npz", b""),
        ("retrieval.npz", None),
        ("retrieval.json", None),
        ("retrieval.json", b"[{"),
        ("retrieval.json", b'[{"case": 7, "captions_per_image": 2}]'),
        ("retrieval.json", b"[]"),
        ("retrieval.json", b"3"),
        ("tokens.jsonl", b'{"caption": "A dog."}'),
        ("tokens.jsonl", b"\xff\xfe"),
        ("tokens.jsonl", b""),
    ],
)
def test_a_broken_file_is_one_clear_line(folder: Path, file: str, content: bytes | None) -> None:
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(HarnessError) as caught:
        list(verify(folder))
    text = str(caught.value)
    assert str(folder / file.split(".")[0]) in text
    assert "\n" not in text
    assert "copy the file again" in text


def test_a_truncated_archive_is_one_clear_line(folder: Path) -> None:
    path = folder / "retrieval.npz"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(HarnessError, match="not usable as golden values"):
        list(verify(folder))


@pytest.mark.slow
def test_exit_status_2_for_what_cannot_be_used(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "harness", "verify", str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path}: no golden file in this folder")
    assert done.stderr.count("\n") == 1


def test_folders_without_golden_files(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"no golden file in this folder; accepted: .*crcl_step.npz"):
        list(verify(tmp_path))
    with pytest.raises(HarnessError, match="there is no such folder"):
        list(verify(tmp_path / "nowhere"))
    (tmp_path / "file").write_text("")
    with pytest.raises(HarnessError, match="there is no such folder"):
        list(verify(tmp_path / "file"))


def test_a_changed_official_parameter_is_seen(shared: Path, tmp_path: Path) -> None:
    for name in ("vseinfty_forward.npz", "saf_forward.npz", "sgr_forward.npz"):
        with np.load(shared / "golden" / name) as stored:
            arrays = dict(stored)
        arrays["param.0.fc.weight"] = arrays["param.0.fc.weight"] * 1.01
        np.savez(tmp_path / name, **arrays)
    assert [report.passed for report in verify(tmp_path)] == [False, False, False]


def test_a_changed_label_is_seen(shared: Path, tmp_path: Path) -> None:
    shutil.copy(shared / "golden" / "crcl_step.json", tmp_path)
    with np.load(shared / "golden" / "crcl_step.npz") as stored:
        arrays = dict(stored)
    arrays["c4_labels_after"] = arrays["c4_labels_after"] + 1e-4
    np.savez(tmp_path / "crcl_step.npz", **arrays)
    (report,) = verify(tmp_path)
    assert not report.passed
    assert report.worst.what == "case 4: stored labels"
    assert report.worst.deviation == pytest.approx(1e-4, rel=0.01)


def test_labels_in_lockstep(lockstep: Path) -> None:
    (report,) = verify(lockstep)
    assert report.passed, report
    assert report.comparisons == 2 * sum(PIECES)
    with np.load(lockstep / "crcl_labels.npz") as stored:
        labels = stored["c0_labels"]
    assert ((labels == 0).any(axis=1)).any()  # some fell under the threshold
    assert ((labels > 0.3) & (labels < 1)).any()


@pytest.mark.parametrize(
    ("array", "place", "what"),
    [
        ("labels", (2, 5), "piece 0, epoch 2: labels"),
        ("losses", 4, "piece 0, epoch 2: losses"),
    ],
)
def test_a_step_that_departs_is_named(lockstep: Path, array: str, place: Any, what: str) -> None:
    with np.load(lockstep / "crcl_labels.npz") as stored:
        arrays = dict(stored)
    arrays[f"c0_{array}"][place] += 1e-3
    np.savez(lockstep / "crcl_labels.npz", **arrays)
    (report,) = verify(lockstep)
    assert not report.passed
    assert report.worst.what == f"case 0: {what}"


def test_labels_of_too_few_epochs_are_one_clear_line(lockstep: Path) -> None:
    with np.load(lockstep / "crcl_labels.npz") as stored:
        arrays = dict(stored)
    arrays["c0_labels"] = arrays["c0_labels"][:3]
    np.savez(lockstep / "crcl_labels.npz", **arrays)
    with pytest.raises(HarnessError, match=r"labels of 3 epochs, and steps of 5\); .*copy the file again"):
        list(verify(lockstep))


def test_deviation_is_absolute_or_relative_and_never_blind() -> None:
    assert deviation([1.0, 0.5], [1.0, 0.4]) == pytest.approx(0.1)
    assert deviation(1001.0, 1000.0) == pytest.approx(0.001)
    assert deviation(np.nan, 1.0) == np.inf
    assert deviation(np.nan, np.nan) == np.inf
    assert deviation(np.zeros(3), np.zeros((3, 1))) == np.inf

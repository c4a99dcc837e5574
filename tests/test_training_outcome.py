"""What a finished cell says of its pairs, its labels' past and its test queries."""

from pathlib import Path

import numpy as np
import pytest
import torch
from toy import CRCL, finished, write_grid

from harness.backbones.weights import load_backbone
from harness.data import open_dataset
from harness.evaluation import folds, scoring
from harness.grids import load_grid
from harness.ledger import Cell, Ledger
from harness.training.history import LabelHistory, read_history
from harness.training.machine import Machine
from harness.training.pairs import training_pairs
from harness.training.rescore import finished_twin
from harness.training.trainer import Trainer
from harness.training.work import work


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, toy_data: Path) -> Cell:
    return finished(tmp_path_factory.mktemp("outcome"), CRCL, toy_data)


def test_the_last_row_of_the_history_is_the_labels(done: Cell) -> None:
    history = np.load(done.path("label_history.npy"))
    labels = np.load(done.path("labels.npy"))
    assert history.shape == (4, len(labels))
    assert history.dtype == np.float16
    assert np.allclose(history[-1], labels, atol=1e-3)
    assert not np.array_equal(history[1], history[-1])


def test_every_pair_is_scored_as_the_network_sees_it(done: Cell, toy_data: Path) -> None:
    with np.load(done.path("pairs.npz")) as file:
        seen = dict(file)
    dataset = open_dataset("toy", toy_data)
    [planned] = load_grid(write_grid(done.folder.parent.parent, CRCL)).cells
    pairs = training_pairs(planned.run, dataset)
    assert np.array_equal(seen["clean"], pairs.clean)
    everything = scoring.score_matrix(load_backbone(done.path("model.safetensors")), pairs.split, "cpu")
    expected = everything[torch.from_numpy(pairs.paired_image), torch.arange(len(pairs))]
    assert np.allclose(seen["similarity"], expected, atol=1e-5)
    assert ((seen["match"] > 0) & (seen["match"] <= 1)).all()
    assert seen["match"][pairs.clean].mean() > 1.3 * seen["match"][~pairs.clean].mean()


def test_the_ranks_give_the_metrics_again(done: Cell) -> None:
    result = done.result()
    assert result is not None
    with np.load(done.path("ranks.npz")) as file:
        ranks = dict(file)
    assert set(ranks) == {"full/i2t", "full/t2i", "full/image_of_caption"}
    assert 100 * (ranks["full/i2t"] <= 1).mean() == pytest.approx(result["test"]["full"]["i2t_r1"])
    assert 100 * (ranks["full/t2i"] <= 10).mean() == pytest.approx(result["test"]["full"]["t2i_r10"])
    assert len(ranks["full/image_of_caption"]) == len(ranks["full/t2i"])


def test_ranks_of_folds_stand_one_after_another() -> None:
    owner = np.arange(10_000) // 2
    scores = torch.from_numpy(np.random.default_rng(0).normal(size=(5000, 10_000)).astype(np.float32))
    metrics, ranks = folds.measure(scores, owner, "coco_1k_5fold")
    assert ranks["i2t"].shape == (5000,)
    assert np.array_equal(ranks["image_of_caption"], owner)
    assert 100 * (ranks["t2i"] <= 5).mean() == pytest.approx(metrics["t2i_r5"])
    second = folds.evaluate(scores[1000:2000, 2000:4000], owner[2000:4000] - 1000, "full")
    assert 100 * (ranks["i2t"][1000:2000] <= 10).mean() == pytest.approx(second["i2t_r10"])


def test_a_run_without_protocols_leaves_the_test_split_alone(tmp_path: Path, toy_data: Path) -> None:
    text = '[axes.method.a]\nmethod = "infonce"\nschedule.epochs = 1\nevaluation.protocols = []\n'
    [planned] = load_grid(write_grid(tmp_path, text)).cells
    cell = Ledger(tmp_path / "runs").add(planned.entry("toy"))
    assert work(cell, toy_data, Machine()) == "done", cell.failure()
    result = cell.result()
    assert result is not None
    assert result["test"] == {}
    assert result["dev"]["rsum"] > 0
    assert not cell.path("ranks.npz").exists()
    assert not cell.path("label_history.npy").exists()  # InfoNCE has no labels


def test_an_epoch_written_again_replaces_itself(tmp_path: Path) -> None:
    history = LabelHistory(tmp_path / "h.npy", 3, 4)
    history.write(0, np.full(4, 0.25))
    history.write(2, np.full(4, 0.75))
    LabelHistory(tmp_path / "h.npy", 3, 4).write(2, np.full(4, 0.5))
    assert np.load(tmp_path / "h.npy").tolist() == [[0.25] * 4, [0.0] * 4, [0.5] * 4]
    LabelHistory(tmp_path / "h.npy", 2, 4).write(1, np.ones(4))  # a cell begun anew with another length
    assert np.load(tmp_path / "h.npy").tolist() == [[0.0] * 4, [1.0] * 4]


def test_a_torn_history_begins_anew(tmp_path: Path) -> None:
    for torn in (b"torn", b""):
        (tmp_path / "h.npy").write_bytes(torn)
        crc = LabelHistory(tmp_path / "h.npy", 2, 4).write(1, np.ones(4))
        assert np.load(tmp_path / "h.npy").tolist() == [[0.0] * 4, [1.0] * 4]
        kept = [{"epoch": 1, "history": crc}]
        assert read_history(tmp_path / "h.npy", kept) is not None
        assert read_history(tmp_path / "h.npy", [{"epoch": 1, "history": crc + 1}]) is None
    assert read_history(tmp_path / "nothing.npy", kept) is None


def test_a_run_with_other_protocols_is_scored_and_not_trained(
    tmp_path: Path, toy_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of `evaluation.protocols` selects: what another run has trained is taken over, byte for byte."""
    first = finished(tmp_path, CRCL + "[run.evaluation]\nprotocols = []\n", toy_data)
    grid = write_grid(tmp_path, CRCL)
    monkeypatch.setattr(Trainer, "fit", lambda self: pytest.fail("trained again"))
    [planned] = load_grid(grid).cells
    second = Ledger(tmp_path / "runs").add(planned.entry("toy"))
    assert second.fingerprint != first.fingerprint
    assert work(second, toy_data, Machine()) == "done", second.failure()
    before, after = first.result(), second.result()
    assert before is not None
    assert after is not None
    assert before["test"] == {}
    assert list(after["test"]) == ["full"]
    changed = {key for key in after if key not in before or before[key] != after[key]}
    assert changed <= {"fingerprint", "finished", "test", "files", "seal"}
    assert second.rows() == first.rows()
    for name in ("labels.npy", "label_history.npy", "model.safetensors", "noise.npy", "pairs.npz"):
        assert second.path(name).read_bytes() == first.path(name).read_bytes()
    assert second.path("ranks.npz").exists()


def test_the_test_figures_are_those_of_a_run_trained_so(tmp_path: Path, toy_data: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    trained = finished(tmp_path / "a", CRCL, toy_data).result()
    finished(tmp_path / "b", CRCL + "[run.evaluation]\nprotocols = []\n", toy_data)
    scored = finished(tmp_path / "b", CRCL, toy_data).result()
    assert trained is not None
    assert scored is not None
    assert scored["test"] == trained["test"]


@pytest.mark.parametrize(
    "text",
    [
        CRCL.replace("[axes]\n", "[axes]\nseed = [3]\n") + "[run.evaluation]\nprotocols = []\n",
        CRCL + "[run.evaluation]\ndev_images = 5\nprotocols = []\n",
    ],
)
def test_a_run_that_differs_in_more_is_no_twin(text: str, tmp_path: Path, toy_data: Path) -> None:
    finished(tmp_path, text, toy_data)
    [planned] = load_grid(write_grid(tmp_path, CRCL)).cells
    cell = Ledger(tmp_path / "runs").add(planned.entry("toy"))
    assert finished_twin(cell, open_dataset("toy", toy_data)) is None

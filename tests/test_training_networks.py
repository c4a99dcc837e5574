"""A run of two networks that are trained side by side, from the spec to its files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from toy import finished, write_grid

from harness.backbones.weights import load_networks
from harness.data import open_dataset
from harness.errors import HarnessError
from harness.evaluation import folds
from harness.evaluation.scoring import score_matrices, score_matrix
from harness.grids import load_grid
from harness.ledger import Cell

SWAP = """
[axes]
"noise.rate" = [0.4]
[axes.method.swap]
method = { name = "toy_methods:Swap" }
schedule.epochs = 2
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, toy_data: Path) -> Cell:
    return finished(tmp_path_factory.mktemp("swap"), SWAP, toy_data)


def test_the_result_is_the_mean_and_each_network_alone(done: Cell, toy_data: Path) -> None:
    result = done.result()
    assert result is not None
    networks = load_networks(done.path("model.safetensors"))
    assert len(networks) == 2
    assert done.path("model.1.safetensors").exists()
    assert result["parameters"] == sum(p.numel() for network in networks for p in network.parameters())
    split = open_dataset("toy", toy_data).split("test")
    mean, *alone = score_matrices(networks, split, "cpu")
    assert torch.equal(mean, (score_matrix(networks[0], split, "cpu") + score_matrix(networks[1], split, "cpu")) / 2)
    assert folds.evaluate(mean, split.image_of_caption, "full") == result["test"]["full"]
    each = [folds.evaluate(scores, split.image_of_caption, "full") for scores in alone]
    assert each == [network["test"]["full"] for network in result["networks"]]
    assert each[0] != each[1]


def test_a_row_has_dev_of_the_mean_and_of_each(done: Cell) -> None:
    for row in done.rows():
        found = [row["values"][name] for name in ("dev/rsum", "network0/dev/rsum", "network1/dev/rsum")]
        assert all(np.isfinite(value) for value in found)


def test_its_pairs_are_seen_by_the_mean(done: Cell, toy_data: Path) -> None:
    with np.load(done.path("pairs.npz")) as file:
        seen = dict(file)
    split, paired = open_dataset("toy", toy_data).split("train"), np.load(done.path("noise.npy"))
    mean = score_matrices(load_networks(done.path("model.safetensors")), split, "cpu")[0].numpy()
    assert np.allclose(seen["similarity"], mean[paired, np.arange(len(paired))], atol=1e-5)


def test_a_method_says_which_backbones_it_cannot_train(tmp_path: Path) -> None:
    text = SWAP.replace("Swap", "Parts")
    said = "method toy_methods:Parts cannot train backbone vse_infinity: the score has no head; accepted: another"
    with pytest.raises(HarnessError, match=said):
        load_grid(write_grid(tmp_path, text))

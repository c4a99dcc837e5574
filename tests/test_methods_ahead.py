"""MSCN, NPC and OSA: values by hand, and what happens where their released codes have nothing to divide."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.backbones.weights import save_networks
from harness.errors import HarnessError
from harness.files import file_sha256
from harness.grids.resolve import resolve_run
from harness.methods import Progress, mscn, npc, osa
from harness.methods.base import Feed
from harness.methods.infonce import InfoNCE
from harness.spec import build, resolve
from harness.testing.toy import toy_run, toy_trainer
from harness.training.passes import every_pair

# -- MSCN -------------------------------------------------------------------------------------------------------------


def test_mscn_margins_and_whose_they_are() -> None:
    half, most = 0.5, 0.8
    # (.8 / .2)^-2 = 1/16, so the margin is .2 / (17/16)
    assert mscn.soft_margins(torch.tensor([0.0, half, most, 1.0]).double(), 0.2).tolist() == pytest.approx(
        [0, 0.1, 0.2 * 16 / 17, 0.2]
    )
    s = torch.tensor([[half, 0.45], [0.75, most]], dtype=torch.float64)
    m0, m1 = 0.1, 0.2 * 16 / 17
    own = (m0 + 0.45 - half) + (m1 + 0.75 - most) + (m0 + 0.75 - half) + max(m1 + 0.45 - most, 0)
    assert float(mscn.main_loss(s, 0.2, "intended")) == pytest.approx(own)
    columns = (m1 + 0.45 - half) + (m0 + 0.75 - most) + (m0 + 0.75 - half) + max(m1 + 0.45 - most, 0)
    assert float(mscn.main_loss(s, 0.2, "released")) == pytest.approx(columns)


def test_mscn_divides_from_the_scores_of_meta_pairs() -> None:
    rng = np.random.default_rng(0)
    right, wrong = rng.beta(8, 3, 400), rng.beta(3, 8, 400)
    scores = np.concatenate([rng.beta(8, 3, 300), rng.beta(3, 8, 100)])
    posterior, mixture = mscn.posterior_of(scores, wrong, right)
    assert mixture is not None
    assert mixture.weights[1] == pytest.approx(0.75, abs=0.05)
    assert ((posterior > 0.5) == (np.arange(400) < 300)).mean() > 0.95


@pytest.mark.parametrize(("wrong", "right"), [([], [0.5, 0.6]), ([0.5], [0.5]), ([0.1, 0.2], [0.3, 0.3])])
def test_mscn_without_a_start_takes_all_pairs_for_clean(wrong: list[float], right: list[float]) -> None:
    posterior, mixture = mscn.posterior_of([0.2, 0.4], wrong, right)
    assert (posterior.tolist(), mixture) == ([1, 1], None)


def test_mscn_wrong_pairs_are_wrong() -> None:
    paired = np.array([0, 0, 1, 1, 2])
    for seed in range(20):
        feed = mscn.wrong_pairs(paired, 4, np.random.default_rng(seed))
        assert feed.images is not None
        assert 0 < len(feed.captions) == len(set(feed.captions)) <= 4
        assert (feed.images != paired[feed.captions]).all()
    alone = mscn.wrong_pairs(np.zeros(3, dtype=np.int64), 3, np.random.default_rng(0))
    assert len(alone.captions) == 0


def test_mscn_scores_single_pairs_as_the_diagonal(tmp_path: Path) -> None:
    trainer = toy_trainer(toy_run("mscn", {"warmup_epochs": 1, "warmup_batch_size": 8}, "sgr", epochs=1), tmp_path)
    training = trainer._training()
    rows = np.arange(5)
    found = mscn.single_scores(training, training.networks[0], Feed(rows))
    with training.networks[0].looking():
        assert found == pytest.approx(training.networks[0].scores(training.read(rows)).diagonal().numpy(), abs=1e-6)
    assert (training.captions("dev"), training.captions("train")) == (10, training.pairs)


# -- NPC --------------------------------------------------------------------------------------------------------------


def test_npc_weights_by_hand() -> None:
    old, new = [torch.tensor([1.0, 2.0, 0.0]), torch.tensor([1.0, 1.0, 0.0])], [torch.tensor([2.0, 1.0, 0.0])] * 2
    ratio = npc.ratios(old, new)
    assert ratio.tolist() == pytest.approx([0.5, 1.5, 1])  # 1/2, (2 + 1) / 2, nothing before and after
    assert npc.weights_of(ratio).tolist() == pytest.approx([math.tanh(0.5), 1, 1])
    losses, weights = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0])
    assert float(npc.batch_loss(losses, weights, "released")) == pytest.approx(0.5 * 2)
    assert float(npc.batch_loss(losses, weights, "intended")) == pytest.approx(3 / 2)


def test_npc_bank_by_hand() -> None:
    vectors = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 9.0], [0.6, 0.8]])
    clean = np.array([1, 2])
    assert npc.bank_of(vectors, clean, "intended").tolist() == [1, 1, 2, 2]
    assert npc.bank_of(np.array([[1.0, 0.2], [0.9, 0.0], [0.0, 9.0]]), clean, "released").tolist() == [2, 1, 2]
    # 1 . .9 against .2 . 9: the longer vector wins; by cosines the first pair has pair 1
    assert npc.bank_of(np.array([[1.0, 0.2], [0.9, 0.0], [0.0, 9.0]]), clean, "intended").tolist() == [1, 1, 2]


def test_npc_without_a_clean_pair_has_all_in_the_bank(tmp_path: Path) -> None:
    trainer = toy_trainer(toy_run("npc", {"threshold": 0.999999}, "vse_infinity", epochs=1), tmp_path)
    trainer.fit()
    values = trainer.state["bank_image"].whole()
    assert set(values.tolist()) <= set(range(len(trainer.pairs)))
    assert torch.isfinite(trainer.state["clean"].whole()).all()


class Digested(InfoNCE):
    """A method of another package with a keyword `sha256` of its own, and no `estimator`."""

    def __init__(self, *, sha256: str = "") -> None:
        super().__init__()
        self.sha256 = sha256


def test_a_digest_that_belongs_to_nothing_here_is_left_alone() -> None:
    table = {"dataset": "twemoji", "noise": {"name": "caption_level", "rate": 0.4}, "backbone": "vse_infinity"}
    method = {"name": "test_methods_ahead:Digested"}
    run = resolve_run({**table, "method": method, "schedule": {"epochs": 1}}, where="here")
    assert run.method.parameters["sha256"] == ""


# -- OSA --------------------------------------------------------------------------------------------------------------


def test_osa_weights_by_hand() -> None:
    above = torch.tensor([-0.1, 0.0, 0.2, 0.4])
    # shares 0, 0, .5, 1 of the highest: .25 (1 - .25), and nothing for the best
    assert osa.weights_of(above, "released").tolist() == pytest.approx([0, 0, 0.1875, 0])
    assert osa.weights_of(above, "paper").tolist() == pytest.approx([0, 0, 0.04 * 0.8, 0.16 * 0.6])
    assert osa.weights_of(torch.tensor([-1.0, 0.0]), "released").tolist() == [0, 0]


def test_osa_losses_sum_to_those_of_the_methods() -> None:
    scores = torch.rand(5, 5, generator=torch.Generator().manual_seed(0)).double() * 2 - 1
    nothing: Any = {}
    for name, whole in (
        ("infonce", lambda values: 2 * values.mean()), ("triplet", torch.sum), ("sum_hinge", torch.sum),
        ("rcl", torch.mean),
    ):  # fmt: skip
        keywords = {"warmup_epochs": 0} if name == "triplet" else {}
        method = build(resolve({"name": name, **keywords}, kind="method", where="here"))
        expected = method.loss(scores, nothing, nothing, Progress(0, 0, 0, 1))["loss"]
        assert float(whole(osa.LOSSES[name](scores, 0.05, 0.2))) == pytest.approx(float(expected))


def test_osa_by_a_finished_run(tmp_path: Path) -> None:
    finished = toy_trainer(toy_run("infonce", {}, "vse_infinity", epochs=1), tmp_path / "one")
    finished.fit()
    path = tmp_path / "model.safetensors"
    save_networks(path, [network.backbone for network in finished.networks])
    keywords = {"estimator": str(path), "sha256": file_sha256(path)}
    trainer = toy_trainer(toy_run("osa", keywords, "sgr", epochs=1), tmp_path / "two")
    trainer.fit()
    network, reader = finished.networks[0].backbone, finished.reader
    cpu = torch.device("cpu")
    scores = every_pair(network, reader, osa.own_and_others, batch_size=6, names=("any",), device=cpu)
    above = scores[:, 0] - scores[:, 1].mean()
    # The companions of a pair differ between the two, and with them beta; a pair's own score does not.
    assert np.ptp(trainer.state["above"].whole().numpy() - above) < 1e-5
    with pytest.raises(HarnessError, match=r"its sha256 is .*; accepted: 00"):
        toy_trainer(toy_run("osa", {**keywords, "sha256": "00"}, "sgr", epochs=1), tmp_path / "three").fit()


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"estimator_epochs": 0}, r"weighs pairs by a trained network.*set method.estimator_epochs"),
        ({"estimator": "gone.safetensors"}, r"method.estimator = gone.safetensors: there is no such file; name the"),
    ],
)
def test_osa_without_an_estimator_is_one_line(keywords: dict[str, Any], says: str) -> None:
    with pytest.raises(HarnessError, match=says):
        resolve_run(
            {
                "dataset": "twemoji", "noise": {"name": "caption_level", "rate": 0.4}, "backbone": "vse_infinity",
                "method": {"name": "osa", **keywords}, "schedule": {"epochs": 1},
            },
            where="here",
        )  # fmt: skip

"""Protocols against scoring each fold by hand."""

from statistics import mean

import numpy as np
import pytest
import torch
from oracles import retrieval as slow
from torch import Tensor

from harness.errors import HarnessError
from harness.evaluation import protocols
from harness.evaluation.folds import evaluate
from harness.evaluation.protocols import PROTOCOLS, Protocol


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The field's protocols with ten images in place of a thousand."""
    for name, protocol in PROTOCOLS.items():
        images = protocol.images // 100 if protocol.images else None
        monkeypatch.setitem(protocols.PROTOCOLS, name, Protocol(protocol.title, images, protocol.folds))


def split(images: int, each: int) -> tuple[Tensor, np.ndarray]:
    scores = torch.rand(images, images * each, generator=torch.Generator().manual_seed(images))
    return scores, np.repeat(np.arange(images), each)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("each", [1, 5])
def test_five_folds_are_consecutive_images_averaged(each: int) -> None:
    scores, owner = split(53, each)  # the last three images are in no fold
    values = evaluate(scores, owner, "coco_1k_5fold")
    folds = []
    for k in range(5):
        block = scores[10 * k : 10 * k + 10, 10 * k * each : (10 * k + 10) * each]
        folds.append(slow.retrieval(block.tolist(), owner[: 10 * each].tolist()))
    assert values == pytest.approx({name: mean(fold[name] for fold in folds) for name in folds[0]})


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("protocol", "images"), [("1k", 10), ("coco_5k", 50), ("full", 60)])
def test_one_fold_takes_the_first_images(protocol: str, images: int) -> None:
    scores, owner = split(60, 2)
    expected = slow.retrieval(scores[:images, : 2 * images].tolist(), owner[: 2 * images].tolist())
    assert evaluate(scores, owner, protocol) == pytest.approx(expected)


@pytest.mark.usefixtures("small")
def test_captions_may_stand_in_any_order() -> None:
    scores, owner = split(50, 3)
    order = np.random.default_rng(0).permutation(len(owner))
    shuffled = evaluate(scores[:, order], owner[order], "coco_1k_5fold")
    assert shuffled == pytest.approx(evaluate(scores, owner, "coco_1k_5fold"))


def test_the_fields_protocols() -> None:
    assert {name: (p.images, p.folds) for name, p in PROTOCOLS.items()} == {
        "1k": (1000, 1),
        "coco_1k_5fold": (1000, 5),
        "coco_5k": (5000, 1),
        "full": (None, 1),
    }


def test_messages() -> None:
    scores, owner = split(20, 1)
    with pytest.raises(HarnessError, match=r"protocol 'coco_5K' is unknown; did you mean 'coco_5k'\?"):
        evaluate(scores, owner, "coco_5K")
    with pytest.raises(HarnessError, match=r"'1k' needs 1000 images, the split has 20; accepted: full;"):
        evaluate(scores, owner, "1k")

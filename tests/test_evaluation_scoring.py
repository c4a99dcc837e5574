"""The sharded score matrix against scoring one image with one caption at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.backbones import BACKBONES, Backbone, Encoded
from harness.data import open_dataset
from harness.data.dataset import Split
from harness.evaluation.scoring import score_matrix

SMALL = {"embed_dim": 16, "word_dim": 8}
SIZES = {"vse_infinity": SMALL, "saf": {**SMALL, "sim_dim": 8}, "sgr": {**SMALL, "sim_dim": 8}}


@pytest.fixture(scope="module")
def split(toy_data: Path) -> Split:
    return open_dataset("toy", toy_data).split("test").images(5)


def model(name: str, split: Split) -> Backbone:
    torch.manual_seed(0)
    keywords = dict(SIZES[name])
    if name != "vse_infinity":
        keywords["regions"] = split.regions.shape[1]
    return BACKBONES[name](split.regions.shape[2], int(split.captions.ids.max()) + 1, **keywords)


def one_by_one(backbone: Backbone, split: Split) -> Tensor:
    backbone.eval()
    matrix = torch.zeros(len(split.regions), len(split.captions))
    for c in range(len(split.captions)):
        words = torch.tensor(split.captions.ids[split.captions.offsets[c] : split.captions.offsets[c + 1]])
        text = backbone.encode_texts(words[None].long(), torch.tensor([len(words)]))
        for i in range(len(split.regions)):
            regions = torch.tensor(np.array(split.regions[i : i + 1], dtype=np.float32))
            image = backbone.encode_images(regions, torch.tensor([regions.shape[1]]))
            matrix[i, c] = backbone.similarity(image, text).item()
    return matrix


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("shards", [(3, 2, 4), (1, 1, 1), (100, 100, 100)])
def test_matrix_is_that_of_single_pairs(name: str, shards: tuple[int, int, int], split: Split) -> None:
    backbone = model(name, split)
    batch_size, image_shard, caption_shard = shards
    matrix = score_matrix(
        backbone, split, "cpu", batch_size=batch_size, image_shard=image_shard, caption_shard=caption_shard
    )
    assert matrix.dtype == torch.float32
    assert matrix.std() > 0
    assert torch.allclose(matrix, one_by_one(backbone, split), atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_in_the_mode_it_was_in(split: Split, training: bool) -> None:
    backbone = model("saf", split).train(training)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    matrix = score_matrix(backbone, split, "cpu")
    assert backbone.training is training
    assert not matrix.requires_grad
    after = backbone.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())  # nor batch statistics
    matrix += 1  # an ordinary tensor, not one of inference mode


def test_the_mode_survives_a_failure(split: Split) -> None:
    class Failing(type(model("vse_infinity", split))):  # type: ignore[misc]
        def similarity(self, images: Encoded, texts: Encoded, *, raw: bool = False) -> Tensor:
            raise RuntimeError("out of memory")

    backbone = Failing(split.regions.shape[2], int(split.captions.ids.max()) + 1, **SMALL).train()
    with pytest.raises(RuntimeError, match="out of memory"):
        score_matrix(backbone, split, "cpu")
    assert backbone.training
    assert torch.is_grad_enabled()

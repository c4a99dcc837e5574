"""A head may be replaced, and a network with another head is saved and read without whoever put it there."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from small_networks import SIZES, batch, clip_and_batch, encoded, model
from torch import nn

from harness.backbones import BACKBONES, cosine
from harness.backbones.weights import load_backbone, save_backbone
from harness.errors import HarnessError


def mlp(inputs: int) -> nn.Sequential:
    torch.manual_seed(4)
    return nn.Sequential(nn.Linear(inputs, 4), nn.ReLU(), nn.Dropout(0.25), nn.Sequential(nn.Tanh(), nn.Linear(4, 1)))


@pytest.mark.parametrize("name", ["saf", "sgr"])
def test_the_head_scores_the_similarity_vectors(name: str) -> None:
    network, data = model(name).eval(), batch(4, 4, drop=True)
    assert network.head is network.score
    assert [key for key in network.state_dict() if "score" in key or "head" in key] == ["score.weight", "score.bias"]
    vectors = []
    network.head.register_forward_hook(lambda _, inputs, __: vectors.append(inputs[0]))
    network.compare(*encoded(network, data))
    assert {vector.shape[-1] for vector in vectors} == {6}
    head = mlp(6).double().eval()
    network.head = head
    assert network.head is network.score is head
    assert "score.3.1.weight" in network.state_dict()
    images, texts = encoded(network, data)
    torch.testing.assert_close(network.compare(images, texts)[:, 0], head(vectors[0])[:, 0, 0])
    torch.testing.assert_close(network.pairwise(images, texts), network.similarity(images, texts).diagonal())


@pytest.mark.parametrize("name", ["vse_infinity", "clip"])
def test_a_cosine_takes_a_head_of_products(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, data = clip_and_batch(3) if name == "clip" else (model(name), batch(3, 3))
    network.eval()
    assert network.head is None
    assert not any(key.startswith("score") for key in network.state_dict())
    images, texts = encoded(network, data)
    cosines = network.similarity(images, texts)
    dtype = images.values.dtype
    summed = nn.Linear(network.pair_dim, 1).to(dtype)
    nn.init.ones_(summed.weight)
    nn.init.zeros_(summed.bias)
    network.head = summed
    torch.testing.assert_close(network.similarity(images, texts), cosines)  # the sum of products is the cosine
    network.head = mlp(network.pair_dim).to(dtype).eval()
    scores = network.similarity(images, texts)
    for i in range(3):
        for j in range(3):
            alone = network.head(images.values[i] * texts.values[j])
            torch.testing.assert_close(scores[i, j], alone.squeeze())
    torch.testing.assert_close(network.pairwise(images, texts), scores.diagonal())
    monkeypatch.setattr(cosine, "_ENTRIES", 1)  # an image at a time
    torch.testing.assert_close(network.similarity(images, texts), scores)
    if name != "clip":
        save_backbone(tmp_path / "a.safetensors", network.float())
        assert repr(load_backbone(tmp_path / "a.safetensors").head) == repr(network.head)


def test_a_backbone_without_a_place_for_a_head_is_one_line() -> None:
    network = model("saf")
    network.head_name = None
    assert network.head is None
    with pytest.raises(HarnessError, match=r"SAF: has no head to replace; accepted: a backbone whose"):
        network.head = nn.Linear(6, 1)


@pytest.mark.parametrize("make", [mlp, lambda inputs: nn.Linear(inputs, 1)])
def test_a_network_with_another_head_is_saved_and_read(make: type[nn.Linear], tmp_path: Path) -> None:
    network, data = model("sgr").float(), batch(3, 3)
    network.head = make(6)
    save_backbone(tmp_path / "a.safetensors", network)
    again = load_backbone(tmp_path / "a.safetensors")
    data = (data[0].float(), *data[1:])
    assert repr(again.head) == repr(network.head)
    assert torch.equal(again.similarity(*encoded(again, data)), network.eval().similarity(*encoded(network, data)))
    save_backbone(tmp_path / "b.safetensors", again)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_a_head_that_cannot_be_described_is_one_clear_line(tmp_path: Path) -> None:
    class Mine(nn.Linear):
        pass

    for layer, name in ((Mine(6, 1), "Mine"), (nn.GELU(), "GELU"), (nn.Linear(6, 1, bias=False), "Linear")):
        network = model("saf")
        network.head = nn.Sequential(layer)
        with pytest.raises(
            HarnessError, match=rf"^head: a {name} cannot be saved.*accepted: nn.Sequential of Linear, ReLU"
        ):
            save_backbone(tmp_path / "a.safetensors", network)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", SIZES)
def test_a_file_of_a_network_with_its_own_head_says_nothing_of_it(name: str, tmp_path: Path) -> None:
    network = BACKBONES[name](11, 23, **SIZES[name])
    save_backbone(tmp_path / "a.safetensors", network)
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        build = json.loads(file.metadata()["backbone"])
    assert build == {
        "name": name, "region_dim": 11, "vocabulary_size": 23, "keywords": network.configuration(),
    }  # fmt: skip

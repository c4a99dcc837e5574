"""What a backbone compares besides images with texts: images with images, texts with texts, pairs alone."""

import numpy as np
import pytest
import torch
from oracles import backbones as slow
from small_networks import SIZES, Batch, batch, clip_and_batch, encoded, model
from torch import Tensor

from harness.backbones import BACKBONES, Backbone, Encoded
from harness.backbones.official import from_official
from harness.errors import HarnessError

NAMES = [*SIZES, "clip"]


def case(name: str, pairs: int = 5, **keywords: object) -> tuple[Backbone, Batch]:
    return clip_and_batch(pairs) if name == "clip" else (model(name, **keywords), batch(pairs, pairs, drop=True))


@pytest.mark.parametrize("name", NAMES)
def test_similarity_is_the_activated_comparison(name: str) -> None:
    network, data = case(name)
    images, texts = encoded(network.eval(), data)
    raw = network.compare(images, texts)
    assert torch.equal(network.similarity(images, texts, raw=True), raw)
    assert torch.equal(network.similarity(images, texts), network.activate(raw))
    expected = torch.sigmoid(raw) if name in ("saf", "sgr") else raw
    assert torch.equal(network.activate(raw), expected)
    assert torch.equal(network.within(texts), network.activate(network.within(texts, raw=True)))
    assert torch.equal(network.pairwise(images, texts), network.activate(network.pairwise(images, texts, raw=True)))


@pytest.mark.parametrize("pairs", [1, 5])
@pytest.mark.parametrize("name", NAMES)
def test_pairs_alone_are_the_diagonal(name: str, pairs: int) -> None:
    network, data = case(name, pairs)
    images, texts = encoded(network.eval(), data)
    for raw in (True, False):
        found, expected = network.pairwise(images, texts, raw=raw), network.similarity(images, texts, raw=raw)
        torch.testing.assert_close(found, expected.diagonal())
    network.train()
    if name != "saf" and pairs > 1:  # in training mode its filter takes the running averages
        torch.testing.assert_close(network.pairwise(images, texts), network.similarity(images, texts).diagonal())


def test_pairs_alone_neither_take_nor_move_the_filter_s_statistics_in_training() -> None:
    network, data = case("saf")
    images, texts = encoded(network.train(), data)
    network.similarity(images, texts)
    before = {key: value.clone() for key, value in network.state_dict().items() if key.startswith("filter_norm")}
    together = network.pairwise(images, texts)
    apart = [network.pairwise(images, texts.rows(torch.tensor([i] * 5)))[i] for i in range(5)]
    torch.testing.assert_close(together, torch.stack(apart))  # of what else is in the batch nothing reaches a pair
    assert all(torch.equal(network.state_dict()[key], value) for key, value in before.items())


def test_what_is_no_pairs_is_one_clear_line() -> None:
    network, data = case("saf")
    images, texts = encoded(network, data)
    with pytest.raises(HarnessError, match=r"SAF: 5 images and 2 texts are no pairs; accepted: as many"):
        network.pairwise(images, texts.rows(slice(0, 2)))


@pytest.mark.parametrize("name", ["vse_infinity", "clip"])
def test_within_is_the_cosine_of_vectors(name: str) -> None:
    network, data = case(name)
    for each in encoded(network.eval(), data):
        expected = torch.nn.functional.cosine_similarity(each.values[:, None], each.values[None], dim=-1)
        torch.testing.assert_close(network.within(each), expected)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "keywords"), [("saf", {"chunk": 2}), ("sgr", {"chunk": 3, "recompute": True})])
def test_within_is_the_slow_twin_s(name: str, keywords: dict[str, object], training: bool) -> None:
    network, data = case(name, **keywords)
    network.train(training)
    images, texts = encoded(network, data)
    before = {key: value.clone() for key, value in network.state_dict().items() if key.startswith("filter_norm")}
    fast = [network.within(images, raw=True), network.within(texts, raw=True)]
    assert all(torch.equal(network.state_dict()[key], value) for key, value in before.items())
    twins = [
        slow.within_images(network, cut(images)),
        slow.within_texts(network, cut(texts)),
    ]
    wanted = {key: p for key, p in network.named_parameters() if p.requires_grad}
    for ours, theirs in zip(fast, twins, strict=True):
        assert theirs.std() > 1e-3
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
        weights = torch.randn(ours.shape, dtype=torch.double, generator=torch.Generator().manual_seed(3))
        gradients = [
            torch.autograd.grad((each * weights).sum(), list(wanted.values()), allow_unused=True, retain_graph=True)
            for each in (ours, theirs)
        ]
        for (key, _), one, other in zip(wanted.items(), *gradients, strict=True):
            if one is not None:
                torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4, msg=lambda text, key=key: f"{key}: {text}")


def cut(encoded: Encoded) -> list[Tensor]:
    return [rows[:length] for rows, length in zip(encoded.values, encoded.lengths.tolist(), strict=True)]


def test_within_meets_the_golden_values(shared: object) -> None:
    with np.load(shared / "golden" / "rivals" / "gsc_intra.npz") as file:  # type: ignore[operator]
        arrays = {key: torch.from_numpy(value) for key, value in file.items()}
    weights = {key.removeprefix("param."): value for key, value in arrays.items() if key.startswith("param.")}
    network = BACKBONES["sgr"](24, 50, embed_dim=16, word_dim=12, sim_dim=8, dropout=0.0)
    network.load_state_dict(from_official("sgr", weights))
    regions, tokens, lengths = arrays["regions"], arrays["tokens"], arrays["lengths"]
    for mode in ("eval", "train"):
        network.train(mode == "train")
        images, texts = encoded(network, (regions, torch.full((len(regions),), regions.shape[1]), tokens, lengths))
        found = {
            "raw_sims": network.compare(images, texts),
            "intra_images": network.within(images, raw=True),
            "intra_texts": network.within(texts, raw=True),
        }
        for what, value in found.items():
            torch.testing.assert_close(value, arrays[f"{mode}.{what}"], atol=1e-5, rtol=1e-5)


def test_an_encoded_keeps_what_it_is_of() -> None:
    network, data = case("sgr")
    images, texts = encoded(network, data)
    parts = [texts.rows(slice(0, 2)), texts.rows(slice(2, None))]
    assert (images.of, Encoded.cat(parts).of) == ("images", "texts")
    torch.testing.assert_close(network.within(Encoded.cat(parts)), network.within(texts))
    with pytest.raises(HarnessError, match=r"SGR: to compare an Encoded within.*accepted: of = 'images' or 'texts'"):
        network.within(Encoded(images.values, images.lengths))

"""The batched backbones against their slow twins: scores, every gradient, running averages."""

import copy
from collections.abc import Callable

import pytest
import torch
from oracles import backbones as slow
from small_networks import SIZES, WORDS, Batch, D, R, batch, batch_of_vectors, model
from small_networks import scores as fast_scores
from torch import Tensor

from harness.backbones import BACKBONES, Backbone, Encoded, gpo, graph, recurrent
from harness.backbones import alignment as alignment_module
from harness.backbones.base import length_mask
from harness.backbones.gpo import GPO, sorted_average
from harness.backbones.recurrent import BiGRU
from harness.errors import HarnessError


def slow_scores(backbone: Backbone, data: Batch) -> Tensor:
    torch.set_default_dtype(torch.double)
    try:
        return (slow.vse_infinity if "VSE" in type(backbone).__name__ else slow.sgraf)(backbone, *data)
    finally:
        torch.set_default_dtype(torch.float32)


def with_gradients(
    score: Callable[[Backbone, Batch], Tensor], backbone: Backbone, data: Batch
) -> tuple[Tensor, dict[str, Tensor]]:
    regions = data[0].clone().requires_grad_()
    scores = score(backbone, (regions, *data[1:]))
    torch.manual_seed(3)
    (scores * torch.randn_like(scores)).sum().backward()
    assert regions.grad is not None
    gradients = {name: p.grad for name, p in backbone.named_parameters() if p.grad is not None}
    return scores.detach(), {**gradients, "regions": regions.grad}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("vse_infinity", {}),
        ("vse_infinity", {"norm_padding": True}),
        ("saf", {"chunk": 2}),
        ("saf", {"chunk": 100, "recompute": True}),
        ("sgr", {"chunk": 3, "recompute": True}),
        ("sgr", {"chunk": 100, "graph_steps": 1}),
    ],
)
def test_scores_gradients_and_running_averages(
    name: str, keywords: dict[str, object], drop: bool, training: bool
) -> None:
    fast = model(name, **keywords).train(training)
    twin = copy.deepcopy(fast)
    data = batch(4, 6, drop=drop)
    ours, our_gradients = with_gradients(fast_scores, fast, data)
    theirs, their_gradients = with_gradients(slow_scores, twin, data)
    assert ours.std() > 1e-3
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
    for key, gradient in their_gradients.items():
        # Biases that cancel in a softmax have no gradient but rounding: ours have exactly none.
        mine = our_gradients.get(key, torch.zeros_like(gradient))
        torch.testing.assert_close(mine, gradient, atol=2e-6, rtol=2e-5, msg=lambda text, key=key: f"{key}: {text}")
    for key, value in twin.state_dict().items():
        if "running" in key or (key == "filter_norm.num_batches_tracked"):
            torch.testing.assert_close(fast.state_dict()[key], value, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", SIZES)
def test_a_word_that_repeats_is_multiplied_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = model(name).train()
    twin = copy.deepcopy(fast)
    regions, region_lengths, tokens, lengths = batch(4, 6)
    data = (regions, region_lengths, tokens.clamp_max(1) * (1 + tokens % 3), lengths)
    multiplied, averaged = [], BiGRU.averaged

    def watched(self: BiGRU, items: Tensor, *rest: Tensor) -> Tensor:
        multiplied.append(items.shape)
        return averaged(self, items, *rest)

    monkeypatch.setattr(BiGRU, "averaged", watched)
    ours, our_gradients = with_gradients(fast_scores, fast, data)
    monkeypatch.undo()
    assert (4, 5) in multiplied  # three words and the padding, each of five numbers
    theirs, their_gradients = with_gradients(slow_scores, twin, data)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
    for key, gradient in their_gradients.items():
        mine = our_gradients.get(key, torch.zeros_like(gradient))
        torch.testing.assert_close(mine, gradient, atol=2e-6, rtol=2e-5, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize(("of_images", "of_texts"), [("set", "set"), ("set", "sequence"), ("sequence", "sequence")])
def test_vectors_on_both_sides(name: str, of_images: str, of_texts: str) -> None:
    fast = model(name, images=of_images, texts=of_texts).train()
    twin = copy.deepcopy(fast)
    data = batch_of_vectors(4, 5)
    ours, our_gradients = with_gradients(fast_scores, fast, data)
    theirs, their_gradients = with_gradients(slow_scores, twin, data)
    assert ours.std() > 1e-3
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
    for key, gradient in their_gradients.items():
        mine = our_gradients.get(key, torch.zeros_like(gradient))
        torch.testing.assert_close(mine, gradient, atol=2e-6, rtol=2e-5, msg=lambda text, key=key: f"{key}: {text}")
    fast.eval()
    expected = fast_scores(fast, data)
    regions, region_lengths, vectors, lengths = data
    wild = [
        torch.where(length_mask(many, values.shape[1])[:, :, None], values, 1e3)
        for values, many in ((regions, region_lengths), (vectors, lengths))
    ]
    torch.testing.assert_close(fast_scores(fast, (wild[0], region_lengths, wild[1], lengths)), expected)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize(("images", "captions"), [(2, 1), (1, 3), (5, 5)])
def test_small_and_uneven_batches(name: str, images: int, captions: int) -> None:
    backbone = model(name).eval()
    data = batch(images, captions, drop=True)
    torch.testing.assert_close(fast_scores(backbone, data), slow_scores(backbone, data), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", SIZES)
def test_padding_changes_nothing(name: str) -> None:
    backbone = model(name).eval()
    regions, region_lengths, tokens, lengths = batch(4, 5, drop=True)
    expected = fast_scores(backbone, (regions, region_lengths, tokens, lengths))
    beyond = torch.arange(R) >= region_lengths[:, None]
    wild = torch.where(beyond[:, :, None], 1e3, regions)
    wide = torch.nn.functional.pad(tokens, (0, 4))
    torch.testing.assert_close(fast_scores(backbone, (wild, region_lengths, wide, lengths)), expected)


@pytest.mark.parametrize("name", SIZES)
def test_shards_of_different_widths_go_together(name: str) -> None:
    backbone = model(name).eval()
    regions, region_lengths, tokens, lengths = batch(4, 6, drop=True)
    images, texts = backbone.encode_images(regions, region_lengths), backbone.encode_texts(tokens, lengths)
    longest = int(lengths[:2].max())
    parts = [backbone.encode_texts(tokens[:2, :longest], lengths[:2]), texts.rows(slice(2, None))]
    together = Encoded.cat(parts)
    assert together.values.shape[0] == 6
    expected = backbone.similarity(images, texts)
    torch.testing.assert_close(backbone.similarity(images, together), expected)
    order = torch.tensor([3, 0, 2])
    torch.testing.assert_close(backbone.similarity(images.rows(order), texts), expected[order])


@pytest.mark.parametrize("name", ["saf", "sgr"])
def test_raw_is_before_the_sigmoid(name: str) -> None:
    backbone = model(name).eval()
    regions, region_lengths, tokens, lengths = batch(3, 4)
    images, texts = backbone.encode_images(regions, region_lengths), backbone.encode_texts(tokens, lengths)
    raw = backbone.similarity(images, texts, raw=True)
    torch.testing.assert_close(torch.sigmoid(raw), backbone.similarity(images, texts))
    assert (raw < 0).any() or (raw > 1).any()


@pytest.mark.parametrize("block", [1, 2000, 10**9])
def test_alignment_blocks_change_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fast, data = model("sgr").eval(), batch(4, 5)
    expected, gradients = with_gradients(fast_scores, copy.deepcopy(fast), data)
    monkeypatch.setitem(alignment_module.BLOCK_BYTES, "cpu", block)
    ours, mine = with_gradients(fast_scores, fast, data)
    torch.testing.assert_close(ours, expected)
    for key, gradient in gradients.items():
        torch.testing.assert_close(mine[key], gradient)


@pytest.mark.parametrize("block", [1, 900, 10**9])
def test_reasoning_in_blocks_is_the_plain_one(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "BLOCK_BYTES", block)
    results = []
    for by_hand in (True, False):
        monkeypatch.setattr(graph, "plain_cpu", lambda data, by_hand=by_hand: by_hand)
        results.append(with_gradients(fast_scores, model("sgr"), batch(4, 5)))
    (ours, mine), (plain, theirs) = results
    torch.testing.assert_close(ours, plain)
    assert mine.keys() == theirs.keys()
    for key, gradient in theirs.items():
        torch.testing.assert_close(mine[key], gradient)


def test_recurrence_by_hand_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    gru = BiGRU(5, 4)
    lengths, weights = torch.tensor([3, 1, 6, 6]), torch.randn(4, 7, 4)
    results = []
    for by_hand in (True, False):
        monkeypatch.setattr(recurrent, "plain_cpu", lambda data, by_hand=by_hand: by_hand)
        items = torch.linspace(-2, 2, 4 * 7 * 5).view(4, 7, 5).sin().requires_grad_()
        states = gru.averaged(items, lengths)
        gradients = torch.autograd.grad((states * weights).sum(), [items, *gru.parameters()])
        results.append([states, *gradients])
    assert results[0][0].abs().max() > 0.1
    assert not results[0][0][1, 1:].any()
    for ours, torchs in zip(*results, strict=True):
        torch.testing.assert_close(ours, torchs)


@pytest.mark.parametrize("block", [1, 10**9])
def test_sorted_average_on_the_cpu_is_the_plain_one(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpo, "BLOCK_BYTES", block)
    torch.manual_seed(0)
    values = torch.cat([torch.randn(3, 36, 5), -torch.rand(2, 36, 5) * 1e-3, torch.zeros(1, 36, 5)]) * 100
    values[:, 4], values[:, 9, 2] = values[:, 17], -0.0  # ties
    lengths = torch.tensor([36, 35, 1, 36, 7, 20])
    mask = torch.arange(36) < lengths[:, None]
    weights = torch.softmax(torch.randn(6, 36).masked_fill(~mask, -torch.inf), dim=1)
    results = []
    for dtype in (torch.float32, torch.float64):  # doubles take the plain way
        v, w = (t.to(dtype).requires_grad_() for t in (values.detach().clone(), weights.detach().clone()))
        pooled = sorted_average(v, w, mask)
        (pooled * torch.arange(30).view(6, 5).cos().to(dtype)).sum().backward()
        tied = v.grad[:, 4] + v.grad[:, 17]  # a tie's gradient may go to either, its sum is one
        untied = torch.cat([v.grad[:3, :4], v.grad[:3, 5:17], v.grad[:3, 18:]], dim=1)
        results.append([pooled.detach(), w.grad, tied[:3], untied, v.grad.sum(dim=1)])
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain.float(), atol=1e-4, rtol=1e-5)


def test_pooling_with_ties_and_negative_values() -> None:
    pool = GPO(6)
    torch.manual_seed(0)
    values = torch.randint(-2, 1, (3, 5, 4)).float()  # many ties, none positive: padding must not win
    lengths = torch.tensor([5, 1, 3])
    pooled = pool(values, lengths)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(pooled[row], slow.pool(pool, values[row, :length]))


@pytest.mark.parametrize("name", SIZES)
def test_bfloat16_autocast_stays_near_and_has_gradients(name: str) -> None:
    backbone = model(name).float().eval()
    data = (batch(3, 4)[0].float(), *batch(3, 4)[1:])
    expected = fast_scores(backbone, data)
    with torch.autocast("cpu", torch.bfloat16):
        scores = fast_scores(backbone, data)
    scores.float().sum().backward()
    assert (scores.float() - expected).abs().max() < 0.1  # 8 bits, weights larger than at the start
    assert all(torch.isfinite(p.grad).all() for p in backbone.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", SIZES)
def test_a_configuration_rebuilds_the_model(name: str) -> None:
    backbone = model(name)
    again = BACKBONES[name](D, WORDS, **backbone.configuration())
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in backbone.state_dict().items()}
    assert again.configuration() == backbone.configuration()


def test_more_regions_than_the_model_has_places_is_one_clear_line() -> None:
    backbone = model("saf", regions=R - 1)
    regions, region_lengths, tokens, lengths = batch(2, 2)
    with pytest.raises(HarnessError, match=r"7 regions.*made for 6.*set regions = 7"):
        fast_scores(backbone, (regions, region_lengths, tokens, lengths))


@pytest.mark.parametrize("name", SIZES)
def test_lengths_that_do_not_fit_are_one_clear_line(name: str) -> None:
    backbone = model(name)
    regions, _, tokens, _ = batch(3, 4)
    with pytest.raises(HarnessError, match=r"regions of shape \(3, 7, 11\).*one length per row"):
        backbone.encode_images(regions, torch.tensor([7, 7]))
    with pytest.raises(HarnessError, match=r"tokens of shape \(4, 7\).*one length per row"):
        backbone.encode_texts(tokens, torch.tensor([7]))

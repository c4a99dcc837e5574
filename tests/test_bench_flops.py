"""The formulas of `harness bench` against what torch counts while a step is taken."""

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from harness.backbones import SAF, SGR, Backbone, VSEInfinity
from harness.bench.flops import FORMULAS, step_flops
from harness.methods import METHODS, Progress

WORDS, REGION_DIM, PAIRS, REGIONS, LENGTH = 50, 24, 6, 5, 7
# Left out of the formulas: products of a vector that torch counts too (SGR's query bias, SAF's running averages).
TOLERANCE = 0.002


def counted(network: Backbone, lengths: list[int]) -> float:
    """FLOPs of the products of one step, forward and backward."""
    torch.manual_seed(0)
    regions, region_lengths = torch.randn(len(lengths), REGIONS, REGION_DIM), torch.full((len(lengths),), REGIONS)
    tokens, words = torch.randint(1, WORDS, (len(lengths), max(lengths))), torch.tensor(lengths)

    def in_place(_: Any, a: Any, b: Any, *__: Any, **___: Any) -> int:
        return int(2 * a[0] * a[1] * b[1])

    def batched(_: Any, a: Any, b: Any, *__: Any, **___: Any) -> int:
        return int(2 * a[0] * a[1] * a[2] * b[2])

    mapping = {torch.ops.aten.addmm_: in_place, torch.ops.aten.baddbmm_: batched}
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        images, texts = network.encode_images(regions, region_lengths), network.encode_texts(tokens, words)
        values = METHODS["infonce"]().loss(network.similarity(images, texts), None, {}, Progress(0, 0, 0, 1))  # type: ignore[arg-type]
        values["loss"].backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("embed_dim", [16, 64])
@pytest.mark.parametrize("cls", FORMULAS, ids=lambda cls: cls.__name__)
def test_the_formula_is_what_torch_counts(cls: type[Backbone], embed_dim: int) -> None:
    keywords: dict[str, Any] = {"embed_dim": embed_dim, "word_dim": 8}
    if cls is not VSEInfinity:
        keywords |= {"regions": REGIONS, "sim_dim": 12, "chunk": 3}
    network = cls(REGION_DIM, WORDS, **keywords)
    lengths = [LENGTH] * PAIRS  # no padding: the formula knows none
    counts = step_flops(network, REGIONS, lengths)
    assert counts.total + counts.recomputed == pytest.approx(counted(network, lengths), rel=TOLERANCE)
    assert (counts.recomputed > 0) == (cls is not VSEInfinity)


@pytest.mark.parametrize("cls", [SAF, SGR])
def test_padding_is_not_counted(cls: type[Backbone]) -> None:
    """The text's self-attention alone works on padding."""
    network = cls(REGION_DIM, WORDS, embed_dim=16, word_dim=8, regions=REGIONS, sim_dim=12, chunk=4)
    mixed = [2, 7, 3, 7, 2, 4]
    counts = step_flops(network, REGIONS, mixed)
    on_padding = 2 * 3 * (6 * 7 - sum(mixed)) * (16 * 16 + 2 * 16)
    assert counts.total + counts.recomputed + on_padding == pytest.approx(counted(network, mixed), rel=TOLERANCE)


def test_by_hand() -> None:
    """SAF's attention alone, for two pairs of captions of 3 and 4 words: 2 images x 9 vectors of 5 numbers."""
    network = SAF(REGION_DIM, WORDS, embed_dim=16, word_dim=8, regions=REGIONS, sim_dim=5)
    assert step_flops(network, REGIONS, [3, 4]).terms["filter"] == 2 * (2 * 2 * 9 * 5) * 3

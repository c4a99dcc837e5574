"""Every training pair as the networks see it: passes in evaluation mode, without augmentation, outside the steps."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.backbones import Backbone
from harness.data.batches import PairReader
from harness.distributed import any_rank, rank, total_, world
from harness.evaluation.scoring import evaluating
from harness.methods.softmax import matching
from harness.seeds import Name, rng_for
from harness.training.stopping import Interrupted

TAU = 0.05  # temperature of `match` for a method that has none: the one of CRCL, RCL and InfoNCE here


def every_pair(
    backbone: Backbone,
    reader: PairReader,
    measure: Callable[[Tensor], Tensor],
    *,
    batch_size: int,
    names: Sequence[Name],
    device: torch.device,
    stop: Callable[[], bool] = lambda: False,
    raw: bool = False,
) -> NDArray[np.float32]:
    """`measure` of every training pair among its companions in one shuffle.

    measure: from scores (B, B) to (B,) or (B, k). names: of the shuffle. Returns (pairs,) or (pairs, k) float32.

    SAF and SGR compare a whole batch to read its diagonal: about the forward pass of one epoch. Of several training
    processes each takes some of the batches.

    Raises:
        Interrupted: `stop` said so between two batches.
    """
    pairs = len(reader)
    order = rng_for(*names).permutation(pairs)
    batches = np.array_split(order, max(1, pairs // batch_size))
    found: Tensor | None = None
    with evaluating(backbone):
        for start in range(0, len(batches), world()):
            if any(any_rank(stop())):
                raise Interrupted
            rows = batches[min(start + rank(), len(batches) - 1)]
            batch = reader.read(rows).to(device)
            images = backbone.encode_images(batch.regions, batch.region_lengths)
            texts = backbone.encode_texts(batch.tokens, batch.lengths)
            values = measure(backbone.similarity(images, texts, raw=raw)).float().cpu()
            if found is None:
                found = torch.zeros(pairs, *values.shape[1:], dtype=torch.float32)
            if start + rank() < len(batches):
                found[rows] = values
    assert found is not None
    result: NDArray[np.float32] = total_(found).numpy()
    return result


def score_pairs(
    backbones: Sequence[Backbone],
    reader: PairReader,
    clean: NDArray[np.bool_],
    *,
    batch_size: int,
    seed: int,
    device: torch.device,
    tau: float | None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, np.ndarray]:
    """Every training pair as the finished networks see it.

    Returns:
        `similarity` float32 (pairs,): of caption i and the image it is paired with. `match` float32 (pairs,):
        (P_ii + Q_ii) / 2 among its companions in one fixed shuffle of the pairs, what CRCL's labels estimate.
        `clean` bool (pairs,): the truth. Of several networks the means.
    """

    def measure(scores: Tensor) -> Tensor:
        scores = scores.float()
        p, q = matching(scores, tau or TAU)
        return torch.stack([scores.diagonal(), (p.diagonal() + q.diagonal()) / 2], dim=1)

    found = [
        every_pair(
            backbone, reader, measure, batch_size=batch_size, names=("companions", seed), device=device, stop=stop
        )
        for backbone in backbones
    ]
    mean = found[0] if len(found) == 1 else np.mean(found, axis=0)
    return {"similarity": mean[:, 0].copy(), "match": mean[:, 1].copy(), "clean": clean}

"""A training step of several processes: one batch, one loss, one gradient, as a process alone would have them.

Each rank encodes its share of the batch's pairs, gets all images, and scores them against its own captions, which is
where SAF and SGR spend their time. The columns are put together and every rank computes the same loss on (B, B). Its
gradients are those of its own part, and their sum over ranks is the gradient.

Not `DistributedDataParallel`: that wraps one call of a network, where there are three; its mean is not the sum; and a
parameter without a gradient needs its search. What it would give is the exchange during the backward pass; here it
follows, in one piece.

Differs from a process alone in: dropout draws of each rank's own, so an image has another mask for each rank's
captions in the part that SAF and SGR apply to images as they compare.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from harness.backbones import Backbone
from harness.backbones.base import Encoded
from harness.data import Batch, PairBatches
from harness.distributed import gather, rank, total_, world
from harness.errors import HarnessError


def scorer(network: Backbone) -> Callable[[Batch], Tensor]:
    """From a batch to its scores (images, captions), whole on every rank."""

    def score(batch: Batch) -> Tensor:
        images = network.encode_images(batch.regions, batch.region_lengths)
        texts = network.encode_texts(batch.tokens, batch.lengths)
        if world() == 1:
            return network.similarity(images, texts)
        pairs = len(batch)
        images = Encoded(gather(images.values, pairs), gather(images.lengths, pairs))
        columns = network.similarity(images, texts)  # (images, own captions)
        return gather(columns.T, pairs).T

    return score


def backward(loss: Tensor, parameters: Iterable[Tensor]) -> None:
    """The gradient of `loss`, which all ranks have computed alike from gathered scores, on every rank.

    A parameter that got none on this rank got none on the others: they do the same.
    """
    if world() == 1:
        loss.backward()
        return
    (loss / world()).backward()
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return
    summed = total_(torch.cat([gradient.flatten() for gradient in gradients]))
    for gradient, part in zip(gradients, summed.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def step_name() -> tuple[int, ...]:
    """What is added to the name of a step's seed, so that each of several ranks draws dropout of its own."""
    return (rank(),) if world() > 1 else ()


def check_shares(batches: PairBatches) -> None:
    """Every rank must have a pair of every batch.

    Raises:
        HarnessError: a batch, or the epoch's last, has fewer pairs than there are processes.
    """
    rest = len(batches.split.captions) % batches.batch_size
    fewest = min(batches.batch_size, rest) if rest > 1 else batches.batch_size
    if fewest < world():
        which = "the last batch of an epoch has" if fewest == rest else "a batch has"
        raise HarnessError(
            f"{world()} processes: {which} {fewest} pairs (schedule.batch_size = {batches.batch_size} for all of them "
            f"together); accepted: at most {fewest} processes; start fewer"
        )

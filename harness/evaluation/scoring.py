"""The score matrix of a split. Every distinct image and every caption is encoded once; they are compared in shards."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.backbones.base import Backbone, Encoded
from harness.data.dataset import Split
from harness.distributed import gather, rank, share, total_, world
from harness.evaluation.encoding import encode_images, encode_texts


def score_matrix(
    backbone: Backbone,
    split: Split,
    device: torch.device | str,
    *,
    batch_size: int = 128,
    image_shard: int = 512,
    caption_shard: int = 128,
) -> Tensor:
    """Similarities (images, captions) of a split, float32 on the CPU, as the model scores them at test time.

    Images are encoded `batch_size` at a time, and all their embeddings stay on `device`. Captions are encoded
    `caption_shard` at a time, compared with `image_shard` images at a time, and dropped. So the memory is that of the
    images' embeddings, one shard and the matrix, of which there is no second copy (5K x 25K: 0.5 GB). Captions go in
    the order of their lengths, so that a shard has little padding.

    With several training processes, each encodes its share of the images and scores some of the shards; all of them get
    the whole matrix.
    """
    matrix = np.zeros((len(split.regions), len(split.captions)), dtype=np.float32)
    with evaluating(backbone):
        images = _all_images(backbone, split, device, batch_size)
        for rows, texts in _encoded_texts(backbone, split, device, caption_shard):
            for start in range(0, len(matrix), image_shard):
                shard = slice(start, start + image_shard)
                block = backbone.similarity(images.rows(shard), texts)
                matrix[shard, rows] = block.to("cpu", torch.float32).numpy()
    return total_(torch.from_numpy(matrix))


def _all_images(backbone: Backbone, split: Split, device: torch.device | str, batch_size: int) -> Encoded:
    count = len(split.regions)
    if count < world():  # too few for a share each
        return Encoded.cat(list(_encoded_images(backbone, split, device, batch_size, slice(0, count))))
    own = Encoded.cat(list(_encoded_images(backbone, split, device, batch_size, share(count))))
    if own.values.dim() == 3:  # the others' images may have more regions
        own = own.widened(split.most_regions)
    return own._replace(values=gather(own.values, count), lengths=gather(own.lengths, count))


def _encoded_images(
    backbone: Backbone, split: Split, device: torch.device | str, batch_size: int, part: slice
) -> Iterator[Encoded]:
    for start in range(part.start, part.stop, batch_size):
        yield encode_images(backbone, split, np.arange(start, min(start + batch_size, part.stop)), device)


def _encoded_texts(
    backbone: Backbone, split: Split, device: torch.device | str, shard: int
) -> Iterator[tuple[NDArray[np.int64], Encoded]]:
    """This rank's shards of captions of about one length, each with their places in the split."""
    order: NDArray[np.int64] = np.argsort(split.captions.lengths, kind="stable")
    for start in range(rank() * shard, len(order), world() * shard):
        rows = order[start : start + shard]
        yield rows, encode_texts(backbone, split, rows, device)


def score_matrices(backbones: Sequence[Backbone], split: Split, device: torch.device | str) -> list[Tensor]:
    """The mean of the networks' score matrices; with several networks, then the matrix of each."""
    matrices = [score_matrix(backbone, split, device) for backbone in backbones]
    return matrices if len(matrices) == 1 else [torch.stack(matrices).mean(dim=0), *matrices]


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Evaluates without gradients, dropout or batch statistics; afterwards each module is in the mode it was in.

    This is not inference mode, whose tensors can never enter a loss: targets that a method computes here do.
    """
    modes = [module.training for module in modules]
    for module in modules:
        module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.train(mode)

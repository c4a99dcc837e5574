"""What a backbone is: two encoders and a similarity, the same three calls in training and in evaluation."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from harness.errors import HarnessError
from harness.spec import Checked


class Encoded(NamedTuple):
    """Embeddings of n images or texts: one vector each, `values` (n, d), or one per region or word, (n,
    items, d).

    `lengths` (n,) counts the real regions or words; what lies beyond them is padding, always zero.
    """

    values: Tensor
    lengths: Tensor

    def rows(self, index: slice | Tensor) -> "Encoded":
        """The chosen images or texts, in that order."""
        return Encoded(self.values[index], self.lengths[index])

    @staticmethod
    def cat(parts: Sequence["Encoded"]) -> "Encoded":
        """Many batches as one; where they were padded to different lengths, all get the longest."""
        values = [part.values for part in parts]
        if values[0].dim() == 3:
            items = max(value.shape[1] for value in values)
            values = [nn.functional.pad(value, (0, 0, 0, items - value.shape[1])) for value in values]
        return Encoded(torch.cat(values), torch.cat([part.lengths for part in parts]))


@dataclass(frozen=True)
class Reader:
    """A backbone's own tokens, in place of the words of the data set."""

    tokenise: Callable[[Sequence[str]], list[list[int]]]  # texts -> token numbers, start and end included
    vocabulary_size: int


class Backbone(Checked, nn.Module):
    """An image-text similarity model over region features and word ids, or over pixels and tokens of its own.

    `region_dim` and `vocabulary_size` come from the data; keyword arguments are hyperparameters, kept as
    attributes of the same names, so that `configuration()` can rebuild the model beside its weights.
    """

    reads_pixels: ClassVar[bool] = False  # pictures (images, S, S, 3) in place of region features; has a `reader`

    def __init__(self, region_dim: int, vocabulary_size: int) -> None:
        super().__init__()
        self.region_dim = region_dim
        self.vocabulary_size = vocabulary_size

    @classmethod
    def reader(cls, **keywords: Any) -> Reader | None:
        """The tokens of a model with these hyperparameters; None: it reads the data set's words."""
        return None

    def encode_images(self, regions: Tensor, lengths: Tensor) -> Encoded:
        """regions (images, R, region_dim), lengths (images,) in 1..R: image i's regions are its first
        lengths[i]."""
        raise NotImplementedError

    def encode_texts(self, tokens: Tensor, lengths: Tensor) -> Encoded:
        """tokens (texts, L) of word ids, zero beyond lengths (texts,), each in 1..L."""
        raise NotImplementedError

    def similarity(self, images: Encoded, texts: Encoded, *, raw: bool = False) -> Tensor:
        """Scores (images, texts); `raw` ones are before the activation, where the backbone has one."""
        raise NotImplementedError

    def configuration(self) -> dict[str, Any]:
        """The keyword arguments this model was made with."""
        parameters = inspect.signature(type(self).__init__).parameters.values()
        return {p.name: getattr(self, p.name) for p in parameters if p.kind is p.KEYWORD_ONLY}

    def _check(self, what: str, values: Tensor, lengths: Tensor) -> None:
        """One clear line for a shape that does not fit, before a matrix product says it in its own words."""
        if values.shape[:1] != lengths.shape:
            raise HarnessError(
                f"{type(self).__name__}: {what} of shape {tuple(values.shape)} with lengths of shape "
                f"{tuple(lengths.shape)}; one length per row is expected"
            )


def l2_normalise(x: Tensor, eps: float = 1e-8) -> Tensor:
    """x / (|x| + eps) over the last dimension, as the field's code has it; a zero vector stays zero.

    The gradient at a zero vector is zero too (that of `sqrt` would be NaN), which padded rows need.
    """
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / (norm + eps)


def length_mask(lengths: Tensor, items: int) -> Tensor:
    """(n, items), true where an item is real."""
    return torch.arange(items, device=lengths.device) < lengths[:, None]


def plain_cpu(x: Tensor) -> bool:
    """Whether formulations by hand for the CPU apply: neither under autocast nor while torch.compile
    traces."""
    return x.device.type == "cpu" and not torch.is_autocast_enabled("cpu") and not torch.compiler.is_compiling()


def blocks_of(count: int, size: int, budget: int) -> list[slice]:
    """`count` things of `size` bytes each, as many at once as `budget` bytes hold, but at least one."""
    step = max(1, budget // size)
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]

"""What a backbone is: two encoders and a comparison, the same three calls in training and in evaluation."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from harness.errors import HarnessError
from harness.spec import Checked


class Encoded(NamedTuple):
    """Embeddings of n images or texts: one vector each, `values` (n, d), or one per region or word, (n, items, d).

    `lengths` (n,) counts the real regions or words; what lies beyond them is padding, always zero. `of` says which of
    the two they are; a new `Encoded` made of this one's values by `_replace` keeps it.
    """

    values: Tensor
    lengths: Tensor
    of: Literal["images", "texts"] | None = None

    def rows(self, index: slice | Tensor) -> "Encoded":
        """The chosen images or texts, in that order."""
        return self._replace(values=self.values[index], lengths=self.lengths[index])

    def widened(self, items: int) -> "Encoded":
        """The same with padding up to `items` regions or words."""
        return self._replace(values=nn.functional.pad(self.values, (0, 0, 0, items - self.values.shape[1])))

    @staticmethod
    def cat(parts: Sequence["Encoded"]) -> "Encoded":
        """Many batches as one; where they were padded to different lengths, all get the longest."""
        if parts[0].values.dim() == 3:
            items = max(part.values.shape[1] for part in parts)
            parts = [part.widened(items) for part in parts]
        return Encoded(
            torch.cat([part.values for part in parts]), torch.cat([part.lengths for part in parts]), parts[0].of
        )


@dataclass(frozen=True)
class Reader:
    """A backbone's own tokens, in place of the words of the data set."""

    tokenise: Callable[[Sequence[str]], list[list[int]]]  # texts -> token numbers, start and end included
    vocabulary_size: int


class Backbone(Checked, nn.Module):
    """An image-text similarity model over region features and word ids, or over pixels and tokens of its own.

    A subclass implements the two encoders and the three comparisons, which give raw scores; callers use `similarity`,
    `within` and `pairwise`. All of them read the parameters when they are called, so that `torch.func.functional_call`
    may put other tensors in their place, and inside `twice_differentiable` they can be differentiated twice.

    `region_dim` and `vocabulary_size` (of captions that are vectors: their length) come from the data; keyword
    arguments are hyperparameters, kept as attributes of the same names, so that `configuration()` can rebuild the model
    beside its weights.
    """

    reads_pixels: ClassVar[bool] = False  # pictures (images, S, S, 3) in place of region features; has a `reader`
    head_name: ClassVar[str | None] = None  # the attribute that `head` stands for; None: no head may be set

    def __init__(self, region_dim: int, vocabulary_size: int) -> None:
        super().__init__()
        self.region_dim = region_dim
        self.vocabulary_size = vocabulary_size
        self.own_head = True  # no other module was put in its place

    @classmethod
    def reader(cls, **keywords: Any) -> Reader | None:
        """The tokens of a model with these hyperparameters; None: it reads the data set's words."""
        return None

    @classmethod
    def reads_words(cls, **keywords: Any) -> bool:
        """Whether the captions of a model with these hyperparameters are words, and not vectors."""
        return bool(keywords.get("texts", "words") == "words")

    def encode_images(self, regions: Tensor, lengths: Tensor) -> Encoded:
        """regions (images, R, region_dim), lengths (images,) in 1..R: image i's regions are its first lengths[i]."""
        raise NotImplementedError

    def encode_texts(self, tokens: Tensor, lengths: Tensor) -> Encoded:
        """tokens (texts, L) of word ids, zero beyond lengths (texts,), each in 1..L.

        Of captions that are vectors, vectors (texts, L, `vocabulary_size`).
        """
        raise NotImplementedError

    def compare(self, images: Encoded, texts: Encoded) -> Tensor:
        """Raw scores (images, texts)."""
        raise NotImplementedError

    def compare_within(self, encoded: Encoded) -> Tensor:
        """Raw scores (n, n) of images with images, or of texts with texts."""
        raise NotImplementedError

    def compare_pairs(self, images: Encoded, texts: Encoded) -> Tensor:
        """Raw scores (n,) of image i with text i, without those of other pairs."""
        raise NotImplementedError

    def activate(self, raw: Tensor) -> Tensor:
        """Scores from raw scores of any shape: the same, but where a backbone has an activation."""
        return raw

    def similarity(self, images: Encoded, texts: Encoded, *, raw: bool = False) -> Tensor:
        """Scores (images, texts); `raw` ones are before the activation, where the backbone has one."""
        scores = self.compare(images, texts)
        return scores if raw else self.activate(scores)

    def within(self, encoded: Encoded, *, raw: bool = False) -> Tensor:
        """Scores (n, n): images among images, or texts among texts."""
        scores = self.compare_within(encoded)
        return scores if raw else self.activate(scores)

    def pairwise(self, images: Encoded, texts: Encoded, *, raw: bool = False) -> Tensor:
        """Scores (n,): image i with text i alone. In evaluation mode, the diagonal of `similarity`.

        Raises:
            HarnessError: as many images as texts are needed.
        """
        if len(images.lengths) != len(texts.lengths):
            raise HarnessError(
                f"{type(self).__name__}: {len(images.lengths)} images and {len(texts.lengths)} texts are no pairs; "
                "accepted: as many of one as of the other"
            )
        scores = self.compare_pairs(images, texts)
        return scores if raw else self.activate(scores)

    @property
    def head(self) -> nn.Module | None:
        """The module from similarity vectors (..., `pair_dim`) to raw scores (..., 1), which may be replaced.

        None: no module makes the score; a cosine takes one all the same.
        """
        module: nn.Module | None = getattr(self, self.head_name) if self.head_name else None
        return module

    @head.setter
    def head(self, module: nn.Module) -> None:
        if self.head_name is None:
            raise HarnessError(
                f"{type(self).__name__}: has no head to replace; accepted: a backbone whose `head_name` says where "
                "its head is, such as saf, sgr or vse_infinity"
            )
        setattr(self, self.head_name, module)
        self.own_head = False

    @property
    def pair_dim(self) -> int:
        """Numbers that the head takes of a pair of an image and a text."""
        raise NotImplementedError

    def __setattr__(self, name: str, value: Any) -> None:
        # nn.Module would file a module under the name `head` and not ask the property.
        if name == "head":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

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


_TWICE = ContextVar("twice", default=False)


@contextmanager
def twice_differentiable(on: bool = True) -> Iterator[None]:
    """Inside, every backbone computes in ways that autograd can differentiate twice, on a CPU and on a GPU.

    The same numbers up to rounding, more slowly and with more memory. A function that torch.compile has made is not
    changed: inside, call the original.
    """
    token = _TWICE.set(on)
    try:
        yield
    finally:
        _TWICE.reset(token)


def twice() -> bool:
    """Whether this is inside `twice_differentiable`; never while torch.compile traces."""
    return not torch.compiler.is_compiling() and _TWICE.get()


def plain_cpu(x: Tensor) -> bool:
    """Whether formulations by hand for the CPU apply: neither under autocast, nor while torch.compile traces, nor
    where a second derivative is wanted."""
    by_hand = x.device.type == "cpu" and not torch.is_autocast_enabled("cpu") and not torch.compiler.is_compiling()
    return by_hand and not twice()


def l2_normalise(x: Tensor, eps: float = 1e-8) -> Tensor:
    """x / (|x| + eps) over the last dimension, as the field's code has it; a zero vector stays zero.

    The gradient at a zero vector is finite (that of `sqrt` would be NaN), which padded rows need.
    """
    if twice():
        squares = x.to(torch.promote_types(x.dtype, torch.float32)).square().sum(dim=-1, keepdim=True)
        norm = root(squares).to(x.dtype)
    else:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / (norm + eps)


def root(squares: Tensor) -> Tensor:
    """The square root, whose first and second derivatives are zero, and not NaN, where there is nothing."""
    # Smaller numbers count as nothing: intermediate results of the second derivative would overflow.
    some = squares > torch.finfo(squares.dtype).tiny ** (2 / 3)
    return torch.where(some, torch.where(some, squares, 1).sqrt(), 0)


def length_mask(lengths: Tensor, items: int) -> Tensor:
    """(n, items), true where an item is real."""
    return torch.arange(items, device=lengths.device) < lengths[:, None]


def blocks_of(count: int, size: int, budget: int) -> list[slice]:
    """`count` things of `size` bytes each, as many at once as `budget` bytes hold, but at least one."""
    step = max(1, budget // size)
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]

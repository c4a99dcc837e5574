"""Intermediate results made again in the backward pass, from what stood when they were made first."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from harness.backbones.base import twice, twice_differentiable


def recomputed(module: nn.Module, function: Callable[..., Any], *arguments: Any) -> Any:
    """`function(*arguments)`, of which only the result is kept for the backward pass.

    Its second run reads the parameters and buffers that `module` has now, though `torch.func.functional_call` may
    since have given them back, and is differentiable twice if this one is, though it may be in a thread of its own.
    """

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _AsNow(module)

    return checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)


class _AsNow(AbstractContextManager[None]):
    """Inside, `module` has the parameters and buffers that it had when this was made. May be entered again."""

    def __init__(self, module: nn.Module) -> None:
        parts: list[dict[str, Any]] = []
        for part in module.modules():
            parts += [part._parameters, part._buffers]
        self.now = [(held, dict(held)) for held in parts]
        self.twice = twice()

    def __enter__(self) -> None:
        self.before = [dict(held) for held, _ in self.now]
        for held, then in self.now:
            held.update(then)
        self.mode = twice_differentiable(self.twice)
        self.mode.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.mode.__exit__(None, None, None)
        for (held, _), before in zip(self.now, self.before, strict=True):
            held.update(before)

"""Counts where a computation waits for an accelerator: values that come to the host, and sizes that values decide;
and where it would fail on one: operations that take a tensor of the host together with one of the accelerator.

It works on a CPU, where nothing waits: a tensor counts as the accelerator's unless a function made it on the host.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

import harness

HARNESS = Path(harness.__file__).parent
MADE_HERE = {"arange", "empty", "eye", "from_numpy", "full", "linspace", "ones", "rand", "randn", "tensor", "zeros"}
READ = {"__bool__", "__float__", "__index__", "__int__", "cpu", "item", "numpy", "tolist"}
SIZED = {"masked_select", "nonzero", "repeat_interleave", "unique", "unique_consecutive"}  # by values
INDEXED = {"__getitem__", "__setitem__"}
BOTH = INDEXED | {"copy_", "to", "_pack_padded_sequence", "gru", "_pad_packed_sequence"}  # take both sides together


class HostSyncs(TorchFunctionMode):
    """Inside, every wait is counted in `places`, and every operation across devices in `mixed`, by the file of the
    harness that asked for it."""

    def __init__(self) -> None:
        super().__init__()
        self.places: Counter[str] = Counter()
        self.mixed: Counter[str] = Counter()
        self._host: dict[int, Tensor] = {}  # kept, so that no other tensor gets the number of one

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, func.__name__
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        here = all(id(each) in self._host for each in given) and (bool(given) or name in MADE_HERE)
        waits = bool(given) and not here and _waits(name, args)
        if waits:
            self.places[f"{_place()} {name}"] += 1
        sides = {id(each) in self._host for each in given if each.dim()}  # a single number may be on any device
        if len(sides) == 2 and name not in BOTH:
            self.mixed[f"{_place()} {name}"] += 1
        out = func(*args, **kwargs)
        moves = name == "to" and _names_a_device(args[1:])
        if moves and out is args[0]:  # on a CPU nothing moves: another tensor stands for what would have
            out = out.view_as(out)
        if name == "cpu" or (here and not moves and "device" not in kwargs):
            out = out.view_as(out) if name == "cpu" and out is args[0] else out
            self._host |= {id(each): each for each in tree_leaves(out) if isinstance(each, Tensor)}
        elif name == "_pack_padded_sequence":
            self._host[id(out[1])] = out[1]  # the sizes of its batches are on the host on every device
        return out


def _waits(name: str, args: Sequence[Any]) -> bool:
    if name in READ | SIZED:
        return True
    if name == "to":  # a device that is named, and not that of another tensor
        return any(isinstance(each, str) and each == "cpu" for each in args[1:])
    index = (args[1] if isinstance(args[1], tuple) else (args[1],)) if name in INDEXED else ()
    return any(isinstance(each, Tensor) and each.dtype == torch.bool for each in index)


def _names_a_device(args: Sequence[Any]) -> bool:
    return any(isinstance(each, str | torch.device | Tensor) for each in args)


def _place() -> str:
    """The innermost file of the harness on the stack."""
    frame = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(HARNESS):
            return str(path.relative_to(HARNESS))
        frame = frame.f_back  # type: ignore[assignment]
    return "elsewhere"


@contextmanager
def counted() -> Iterator[HostSyncs]:
    with HostSyncs() as mode:
        yield mode

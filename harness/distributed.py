"""Several training processes for one run: what they exchange. Alone, every function here gives back what it was given.

The processes are started by torchrun or by `harness cell --processes`, and `joined` makes them a group. A process is
called by its rank. All ranks call the same functions in the same order, so what one rank alone decides (to stop, to
give up) is agreed on first. There is one exchange with a gradient, `total`; `gather` is a sum of rows that stand among
zeros. That moves twice what an all-gather does and needs no second rule for the gradient, nor equal shares.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from harness.compiling import untraced

_LAST_WORD = "harness: last word"


class PeerLost(Exception):
    """Another rank has ended, so what was to be exchanged cannot be."""


def rank() -> int:
    """This process's place among those of its run, from 0."""
    return dist.get_rank() if _several() else 0


def world() -> int:
    """How many processes train this run; 1 outside `joined`."""
    return dist.get_world_size() if _several() else 1


def one_of_several() -> bool:
    """Whether torchrun started this process beside others, as the environment says; before `joined` already."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()


@contextmanager
def joined() -> Iterator[None]:
    """Among the processes that torchrun started with this one; nothing where it started none.

    Tensors of the CPU go through gloo, those of a GPU through NCCL.
    """
    if not one_of_several():
        yield
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def share(count: int) -> slice:
    """This rank's part of `count` things in a row: as equal as can be, the earlier ranks' no smaller."""
    each, more = divmod(count, world())
    first = rank() * each + min(rank(), more)
    return slice(first, first + each + (rank() < more))


def gather(rows: Tensor, count: int) -> Tensor:
    """All `count` rows, of which this rank has those of `share(count)`, on every rank; with gradient."""
    if world() == 1:
        return rows
    own = share(count)
    sides = [0, 0] * (rows.dim() - 1) + [own.start, count - own.stop]
    return total(torch.nn.functional.pad(rows, sides))


def total(values: Tensor) -> Tensor:
    """The sum over ranks of `values` (any shape), the same bits on every rank.

    The gradient is a sum over ranks too, as each of them may do something else with the sum. So where all compute one
    loss from it, each is to differentiate the loss divided by `world()`.
    """
    return values if world() == 1 else untraced(_total)(values)


def _total(values: Tensor) -> Tensor:
    summed: Tensor = _Total.apply(values)
    return summed


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _reduced(values.clone(memory_format=torch.contiguous_format))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _reduced(grad.clone(memory_format=torch.contiguous_format))


def total_(values: Tensor) -> Tensor:
    """`total` in place and without a gradient."""
    return values if world() == 1 else _reduced(values)


def _reduced(values: Tensor, by: Any = dist.ReduceOp.SUM) -> Tensor:
    with _peers():
        dist.all_reduce(values, by)
    return values


@contextmanager
def _peers() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # gloo's, when a connection ends
        raise PeerLost(f"rank {rank()} has lost the others: {str(error).splitlines()[0]}") from error


def any_rank(*flags: bool) -> tuple[bool, ...]:
    """For each flag whether it is set on any rank. Through the CPU: a GPU's queue of work is not waited for."""
    if world() == 1:
        return flags
    return tuple(map(bool, _reduced(torch.tensor(flags, dtype=torch.int32), dist.ReduceOp.MAX).tolist()))


def most(value: int) -> int:
    """The largest `value` of all ranks, through the CPU."""
    return value if world() == 1 else int(_reduced(torch.tensor(value), dist.ReduceOp.MAX))


def broadcast(value: Any) -> Any:
    """Rank 0's `value`, anything that can be pickled."""
    if world() == 1:
        return value
    box = [value]
    with _peers():
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


def leave_word(word: dict[str, Any]) -> None:
    """Why this rank is about to end before the others, in what JSON can say: for whoever meets `PeerLost` then.

    The first word stands: later ones are its consequences.
    """
    if world() > 1:
        with suppress(RuntimeError):  # without the store, nobody can be told
            dist.distributed_c10d._get_default_store().compare_set(_LAST_WORD, "", json.dumps(word))


def last_word() -> dict[str, Any] | None:
    """What the first rank that ended left with `leave_word`; None where it was killed."""
    store = dist.distributed_c10d._get_default_store()
    try:
        return dict(json.loads(store.get(_LAST_WORD))) if store.check([_LAST_WORD]) else None
    except RuntimeError:  # what started the processes has ended, and the store with it
        return None

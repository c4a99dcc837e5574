"""What a method keeps of every training pair. Of several training processes each holds its part of it."""

from collections.abc import Mapping

import torch
from torch import Tensor

from harness.distributed import rank, total, total_, world


class PairShards:
    """A float32 per training pair, of which this rank holds those with `pair id % world == rank`.

    Reading and writing rows looks as it does with a tensor (pairs,), and all ranks must do it together: reading is one
    sum over ranks, writing exchanges nothing, as all of them write the same values.
    """

    def __init__(self, pairs: int, value: float, device: torch.device) -> None:
        self.pairs = pairs
        # One more than the largest share: where the rows of other ranks go.
        self._own = torch.full((-(-pairs // world()) + 1,), value, dtype=torch.float32, device=device)

    def __len__(self) -> int:
        return self.pairs

    @property
    def own(self) -> Tensor:
        """This rank's values, by pair id: a view."""
        return self._own[: len(range(rank(), self.pairs, world()))]

    def __getitem__(self, rows: Tensor) -> Tensor:
        """The values of the pairs `rows` (B,) int64, on every rank."""
        mine = rows % world() == rank()
        return total(torch.where(mine, self._own[self._places(rows, mine)], 0.0))

    def __setitem__(self, rows: Tensor, values: Tensor) -> None:
        """`values` (B,) for the distinct pairs `rows` (B,) int64."""
        self._own[self._places(rows, rows % world() == rank())] = values

    def _places(self, rows: Tensor, mine: Tensor) -> Tensor:
        """Without a mask as index, whose size a GPU would have to tell first."""
        return torch.where(mine, rows // world(), len(self._own) - 1)

    def whole(self) -> Tensor:
        """All values (pairs,), on every rank."""
        values = self._own.new_zeros(self.pairs)
        values[rank() :: world()] = self.own
        return total_(values)

    def copy_(self, whole: Tensor) -> None:
        """Take over this rank's part of all values (pairs,)."""
        self.own.copy_(whole[rank() :: world()])


State = dict[str, Tensor | PairShards]


def declared(values: Mapping[str, float], pairs: int, device: torch.device) -> State:
    """The state that a method declares (`Method.declare_state`): plain float32 tensors (pairs,) in a process alone."""
    if world() > 1:
        return {name: PairShards(pairs, value, device) for name, value in values.items()}
    return {name: torch.full((pairs,), value, dtype=torch.float32, device=device) for name, value in values.items()}


def whole(values: Tensor | PairShards) -> Tensor:
    """All values (pairs,) of one state."""
    return values.whole() if isinstance(values, PairShards) else values

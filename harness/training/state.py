"""What a method keeps of every training pair. Of several training processes each holds its part of it."""

from collections.abc import Mapping

import torch
from torch import Tensor

from harness.distributed import rank, total, total_, world


class PairValues:
    """A float32 per training pair, of which this process holds those with `pair id % world == rank`.

    All processes must read and write together: reading is one sum over them, writing exchanges nothing, as all of them
    write the same values.
    """

    def __init__(self, pairs: int, value: float, device: torch.device) -> None:
        self.pairs = pairs
        # One more than the largest share: where the rows of other processes go.
        self._own = torch.full((-(-pairs // world()) + 1,), value, dtype=torch.float32, device=device)

    def __len__(self) -> int:
        return self.pairs

    @property
    def own(self) -> Tensor:
        """This process's values, by pair id: a view."""
        return self._own[: len(range(rank(), self.pairs, world()))]

    def __getitem__(self, rows: Tensor) -> Tensor:
        """The values of the pairs `rows` (B,) int64, on every process."""
        if world() == 1:
            return self._own[rows]
        mine = rows % world() == rank()
        return total(torch.where(mine, self._own[self._places(rows, mine)], 0.0))

    def __setitem__(self, rows: Tensor, values: Tensor) -> None:
        """`values` (B,) for the distinct pairs `rows` (B,) int64."""
        self._own[self._places(rows, rows % world() == rank())] = values

    def _places(self, rows: Tensor, mine: Tensor) -> Tensor:
        """Without a mask as index, whose size a GPU would have to tell first."""
        return torch.where(mine, rows // world(), len(self._own) - 1)

    def whole(self) -> Tensor:
        """All values (pairs,), on every process: a copy."""
        values = self._own.new_zeros(self.pairs)
        values[rank() :: world()] = self.own
        return total_(values)

    def copy_(self, whole: Tensor) -> None:
        """Take over this process's part of all values (pairs,)."""
        self.own.copy_(whole[rank() :: world()])


State = dict[str, PairValues]


def declared(values: Mapping[str, float], pairs: int, device: torch.device) -> State:
    """The state that a method declares (`Method.declare_state`)."""
    return {name: PairValues(pairs, value, device) for name, value in values.items()}

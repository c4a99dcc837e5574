"""The networks that selection keeps."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from harness.backbones import Backbone
from harness.training.position import Position


@dataclass
class Best:
    """The best networks so far; `rsum` and `dev` are those of the mean of their similarities."""

    rsum: float = float("-inf")
    epochs: int = -1  # when, counted from the beginning of the run; -1 for never
    piece: int = 0
    epoch: int = 0
    weights: list[dict[str, Tensor]] | None = None  # of each network
    dev: dict[str, float] | None = None

    @classmethod
    def of(cls, at: Position, backbones: Sequence[Backbone], dev: dict[str, float]) -> "Best":
        """A copy of the networks as they are, on the CPU."""
        weights = [
            {name: value.detach().cpu().clone() for name, value in backbone.state_dict().items()}
            for backbone in backbones
        ]
        return cls(dev["rsum"], at.epochs, at.piece, at.epoch, weights, dev)

    def load_into(self, backbones: Sequence[Backbone]) -> None:
        """Give the networks these weights."""
        assert self.weights is not None
        for backbone, weights in zip(backbones, self.weights, strict=True):
            backbone.load_state_dict(weights)

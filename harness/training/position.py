"""Where a run stands."""

from dataclasses import dataclass

from harness.methods.base import Progress


@dataclass
class Position:
    """The next step to take, counted from zero. `epochs` and `steps` count from the beginning of the run."""

    piece: int = 0
    epoch: int = 0  # in the piece
    step: int = 0  # in the round
    epochs: int = 0
    steps: int = 0
    round: int = 0  # in the epoch

    def progress(self, steps_per_epoch: int, epochs: int) -> Progress:
        """The same, for a method. epochs: length of the piece."""
        return Progress(self.piece, self.epoch, self.step, steps_per_epoch, self.round, self.steps, epochs)

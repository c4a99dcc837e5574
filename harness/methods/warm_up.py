"""A warm-up before the training proper: NCR, BiCro, DECL, L2RM."""

from harness.errors import HarnessError
from harness.methods.base import Phase, Progress


def warm_up_first(method: object, warmup_epochs: int, epochs: int | None) -> list[Phase]:
    """The phases: a warm-up, then `schedule.epochs`, whose learning-rate clock starts after it; networks and optimisers
    go on.

    Raises HarnessError when the schedule gives no length.
    """
    if epochs is None:
        raise HarnessError(
            f"schedule.epochs is missing: {type(method).__name__} trains as long after its warm-up; "
            "accepted: a whole number, at least 1; set schedule.epochs"
        )
    main = Phase(epochs, reinitialise=not warmup_epochs)
    return [Phase(warmup_epochs), main] if warmup_epochs else [main]


def is_warm_up(progress: Progress, warmup_epochs: int) -> bool:
    """Whether training stands in the first of two phases."""
    return bool(warmup_epochs) and progress.piece == 0

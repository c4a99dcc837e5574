"""All claims tested, one after the other."""

from harness.errors import HarnessError
from harness.theory.case import Case
from harness.theory.labels import label_cases
from harness.theory.trials import bound_cases

LABELS_PER_TRIAL = 500
STEPS_PER_TRIAL = 4


def put_to_the_test(trials: int = 20, seed: int = 0) -> list[Case]:
    """Every comparison of a measurement with the theory; deterministic given its arguments.

    trials: random classes for each transform and number of candidates; 500 times as many simulated labels, and 4
        times as many steps of the trained model.

    Raises:
        HarnessError: no trials.
    """
    from harness.theory.linear import linear_cases  # torch is loaded only for this illustration

    if trials < 1:
        raise HarnessError(f"trials = {trials}: nothing to measure; accepted: 1 or more")
    return [
        *bound_cases(trials, seed),
        *linear_cases(STEPS_PER_TRIAL * trials, seed),
        *label_cases(LABELS_PER_TRIAL * trials, seed),
    ]

"""One comparison of a measured number with what the theory says about it."""

from dataclasses import dataclass
from math import isfinite

ROUNDING = 1e-9  # of float64 sums; a bound of exactly 0 (at q = 1) is met to this
DEVIATIONS = 5.0  # standard errors that a simulated moment may miss its closed form by: one in two million


@dataclass(frozen=True)
class Case:
    """A measured number and the theory's.

    Attributes:
        claim: what is claimed, the same words for all cases of one row of the table.
        at: the settings, by their names in the field.
        measured: by simulation.
        theory: the bound, or the closed form.
        used: share of what is allowed: measured / bound, or the deviation in units of `DEVIATIONS` errors.
        claimed: False for what lies outside the assumptions and is shown only to say so.
    """

    claim: str
    at: dict[str, float | str]
    measured: float
    theory: float
    used: float
    claimed: bool = True

    @property
    def holds(self) -> bool:
        """Whether the measurement is allowed; a number that is not finite never is."""
        return isfinite(self.measured) and isfinite(self.used) and self.used <= 1


def below(claim: str, at: dict[str, float | str], measured: float, bound: float, *, claimed: bool = True) -> Case:
    """A case that claims that `measured` is at most `bound`."""
    return Case(claim, at, float(measured), float(bound), float(measured / (bound + ROUNDING)), claimed)


def equal(claim: str, at: dict[str, float | str], measured: float, theory: float, error: float) -> Case:
    """A case that claims that `theory` is what a simulation with standard error `error` estimates."""
    deviation = abs(measured - theory) / (DEVIATIONS * error + ROUNDING)
    return Case(claim, at, float(measured), float(theory), float(deviation))

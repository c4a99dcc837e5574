"""One exception for everything a user can mend; the command line prints its one line and exits with status 2."""

from collections.abc import Iterable
from difflib import get_close_matches


class HarnessError(Exception):
    """Bad input. The message says where, what, what is accepted and what to do next, in one line."""


class Diverged(HarnessError):
    """A loss, score or cost is no longer a finite number: the network diverged, or its data were not finite."""


def suggest(word: str, accepted: Iterable[str]) -> str:
    """The end of a message about an unknown name: what was probably meant and what is accepted.

    >>> suggest("epsilonn", ["beta", "epsilon"])
    "did you mean 'epsilon'? accepted: beta, epsilon"
    """
    names = sorted(accepted)
    near = get_close_matches(word, names, n=1, cutoff=0.6)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return f"{guess}accepted: {', '.join(names) or '(none)'}"


def explain(error: OSError) -> str:
    """A file that could not be read or written, in one line."""
    return (
        f"{error.filename}: {error.strerror}; accepted: a path that can be read and written; what was there is not lost"
    )

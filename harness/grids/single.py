"""One run as a grid of one cell, from settings alone: what `harness train` trains."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.data.cards import CARDS
from harness.errors import HarnessError
from harness.grids.expand import PlannedCell, axis_values, format_value
from harness.grids.grid import Grid
from harness.grids.overrides import laid
from harness.grids.remember import remember
from harness.ledger.command import SINGLE
from harness.spec import fingerprint
from harness.spec.facts import own_facts

DEFAULTS = {"noise": "caption_level", "backbone": "vse_infinity"}  # CRCL's, the noise at its default rate of 0
TITLE = "Runs described on the command line"


def single_run(settings: Mapping[str, Any]) -> Grid:
    """A grid of one cell.

    Args:
        settings: dotted key of the run -> value. A data set and a method have to be among them; what is not has its
            default, noise and backbone that of `DEFAULTS`.

    Raises:
        HarnessError: one line: key, value, what is accepted.
    """
    return remember([SINGLE, dict(settings)], Path(SINGLE), lambda: _single(settings))


def _single(settings: Mapping[str, Any]) -> Grid:
    from harness.grids.resolve import resolve_run  # imports torch

    where = f"harness {SINGLE}"
    run = laid({**DEFAULTS, **settings})
    for key, known in {"dataset": CARDS, "method": own_facts("method")}.items():
        if key not in run:
            raise HarnessError(f"{where}: {key}: is missing; name one with --{key}: {', '.join(known)}")
    checked = resolve_run(run, where)
    names = {"dataset": checked.dataset}
    names |= {kind: getattr(checked, kind).name for kind in ("method", "backbone", "noise")}
    shown = {*names, *(f"{kind}.name" for kind in names), "seed"}
    given = {key: format_value(value) for key, value in settings.items() if key not in shown} | {"seed": checked.seed}
    words = [*names.values(), *(f"{key}={label}" for key, label in given.items())]
    cell = PlannedCell(" ".join(words), names | given, checked, fingerprint(checked))
    return Grid(SINGLE, TITLE, "", Path(SINGLE), axis_values([cell]), [cell], {})

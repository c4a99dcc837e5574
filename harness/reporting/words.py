"""The sentences around a table: what was measured how, what is missing and what makes it, sources."""

import shlex
from collections import Counter

from harness.data.cards import CARDS
from harness.errors import HarnessError
from harness.evaluation.protocols import PROTOCOLS
from harness.grids import CellSpec
from harness.ledger import Ledger
from harness.reporting.spec import Report
from harness.reporting.table import Group, Row

MISSING_LISTED = 6  # more missing rows than this are told by one command for the whole grid

SELECTION = {
    "best_dev_rsum_of_last_piece": "the epoch with the best dev rSum of the last piece of training",
    "best_dev_rsum": "the epoch with the best dev rSum",
    "last": "the last epoch",
}
KINDS = {"caption_level": "caption-level", "image_level": "image-level", "index_file": "from an index file"}


def the_dataset(report: Report, planned: list[CellSpec]) -> str:
    """The one dataset of a report.

    Raises:
        HarnessError: its grids have several; their numbers must not stand in one table.
    """
    names = sorted({cell.run.dataset for cell in planned})
    if len(names) > 1:
        raise HarnessError(f"{report.name}: its cells are on {' and '.join(names)}; a table is on one dataset")
    return names[0]


def caption(report: Report, planned: list[CellSpec], groups: list[Group], ledger: Ledger) -> str:
    """Dataset, protocol, selection rule, seeds: what a reader must know to compare."""
    name = the_dataset(report, planned)
    title = CARDS[name].title if name in CARDS and CARDS[name].title else name
    protocol = PROTOCOLS[report.protocol].title if report.protocol in PROTOCOLS else report.protocol
    rules = sorted({SELECTION[cell.run.evaluation.selection] for cell in planned})
    kinds = sorted({KINDS.get(cell.run.noise.name, cell.run.noise.name) for cell in planned})
    counts = sorted({row.n for group in groups for row in group.rows if row.n})
    over = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}" if counts else "no"
    spread = "Mean ± standard deviation" if counts and counts[-1] > 1 else "Values"
    where = f"test split, protocol {report.protocol}: {protocol}" if report.split == "test" else "dev split"
    sentences = (
        f"{report.title}",
        f"Dataset: {title}",
        f"Recalls in percent on the {where}; {', '.join(kinds)} noise in the training split alone",
        f"The network scored is that of {' or '.join(rules)}; {_test(planned, ledger)}",
        f"{spread} over {over} seed{'' if counts == [1] else 's'}",
        f"Bold: the best of ours at each value of {report.heading(report.rows[0])}",
    )
    return ". ".join(sentences) + "."


def _test(planned: list[CellSpec], ledger: Ledger) -> str:
    results = [ledger.cell(cell.fingerprint).result() or {} for cell in planned]
    if any(result.get("dataset", {}).get("test_is_dev") for result in results):
        return "there is no test split of its own: dev both selected and is measured, so the figures are optimistic"
    return "the test split selects nothing"


def missing(report: Report, planned: list[CellSpec], groups: list[Group], ledger: Ledger) -> list[str]:
    """Which rows lack runs, why, and the commands that make them."""
    rows = [(row, _states(row, ledger)) for group in groups for row in group.rows if row.planned]
    unscored = sum(states["done"] - row.n for row, states in rows)
    other = [f"{unscored} finished runs are not scored under protocol {report.protocol}."] if unscored else []
    lacking = [(row, states) for row, states in rows if set(states) - {"done"}]
    if not lacking:
        return other
    total = sum(states.total() for _, states in rows)
    done = sum(states["done"] for _, states in rows)
    lines = [*other, f"{done} of {total} runs are finished; – stands where none is."]
    if len(lacking) > MISSING_LISTED:
        commands = " && ".join(_run(report))
        return [*lines, f"`{commands}` trains the {total - done} that are missing."]
    for row, states in lacking:
        why = ", ".join(f"{n} {state}" for state, n in sorted(states.items()) if state != "done")
        lines.append(f"{' '.join(row.words)}: {why}; `{_command(report, row)}` trains it.")
    return lines


def sources(groups: list[Group], compared: bool) -> dict[str, str]:
    """Footnote text -> mark, in the order of the rows."""
    if not compared:
        return {}
    texts = dict.fromkeys(row.published.footnote for group in groups for row in group.rows if row.published)
    return {text: _mark(number) for number, text in enumerate(texts)}


def subtitle(report: Report, planned: list[CellSpec], groups: list[Group]) -> str:
    """Under a figure's title: dataset, and how many seeds."""
    name = the_dataset(report, planned)
    counts = {row.n for group in groups for row in group.rows if row.n}
    title = CARDS[name].title.split(":")[0] if name in CARDS else name
    stand_in = "; a stand-in, not a paper's benchmark" if name in CARDS and "stand-in" in CARDS[name].title else ""
    bars = f"; bars: standard deviation over {max(counts)} seeds" if counts and max(counts) > 1 else ""
    return f"{title}{stand_in}{bars}"


def _states(row: Row, ledger: Ledger) -> Counter[str]:
    return Counter(ledger.cell(cell.fingerprint).state() for cell in row.planned)


def _command(report: Report, row: Row) -> str:
    cell = row.planned[0]
    only = [f"--only {shlex.quote(f'{axis}={cell.labels[axis]}')}" for axis in report.rows]
    return " && ".join(" ".join([run, *only]) for run in _run(report))


def _run(report: Report) -> list[str]:
    return [f"harness run {grid}{' --smoke' if report.smoke else ''}" for grid in report.grids]


def _mark(number: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    return (_mark(number // 26 - 1) if number >= 26 else "") + chr(ord("a") + number % 26)

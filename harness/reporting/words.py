"""The sentences around a table: what was measured how, what is missing and what makes it, sources."""

import shlex
from collections import Counter
from collections.abc import Iterable

from harness.data.cards import CARDS
from harness.errors import HarnessError
from harness.evaluation.bootstrap import METRICS
from harness.evaluation.protocols import PROTOCOLS
from harness.grids import CellSpec
from harness.ledger import Ledger
from harness.reporting.significance import LEVEL, Judged
from harness.reporting.spec import Report
from harness.reporting.table import Group, Row

# A smoke page looks like any other, and its best method is chance.
SMOKE = "A smoke run is cut in size and epochs: it shows that everything works, not which method is best."
MISSING_LISTED = 6  # more missing rows than this are told by one command for the whole grid

SELECTION = {
    "best_dev_rsum_of_last_piece": "the epoch with the best dev rSum of the last piece of training",
    "best_dev_rsum": "the epoch with the best dev rSum",
    "last": "the last epoch",
}
BASE_RUN = "(base): the run that the others differ from in one value; the same runs at every hyperparameter."
KINDS = {
    "caption_level": "caption-level",
    "image_level": "image-level",
    "index_file": "from an index file",
    "category_level": "category-level",
    "similarity_dependent": "similarity-dependent",
    "text_damage": "text-damage",
}


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
    protocol = PROTOCOLS[report.protocol].title if report.protocol in PROTOCOLS else report.protocol
    counts = sorted({row.n for group in groups for row in group.rows if row.n})
    over = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}" if counts else "no"
    spread = "Mean ± standard deviation" if counts and counts[-1] > 1 else "Values"
    where = f"test split, protocol {report.protocol}: {protocol}" if report.split == "test" else "dev split"
    shared = " and ".join(map(report.heading, report.grouped_by))
    group = f" at each value of {shared}" if shared else ""
    sentences = (
        f"{report.title}",
        f"Dataset: {_title(name)}",
        f"Recalls in percent on the {where}; {noise_of(planned)}",
        f"The network scored is that of {selection_of(planned)}; {_test(planned, ledger)}",
        f"{spread} over {over} seed{'' if counts == [1] else 's'}",
        f"Bold: the best of ours{group}",
    )
    return ". ".join(sentences) + "."


def noise_of(planned: list[CellSpec]) -> str:
    """Which noise the training pairs carry."""
    if all(cell.run.dataset in CARDS and CARDS[cell.run.dataset].noise == "real" for cell in planned):
        return "the training pairs carry real noise and none is added"
    kinds = sorted({KINDS.get(cell.run.noise.name, cell.run.noise.name) for cell in planned})
    return f"{', '.join(kinds)} noise in the training split alone"


def selection_of(planned: list[CellSpec]) -> str:
    return " or ".join(sorted({SELECTION[cell.run.evaluation.selection] for cell in planned}))


def judged(report: Report, outcome: Judged) -> list[str]:
    """What the daggers of a table say, what they do not, and what could not be judged."""
    notes = []
    if outcome.comparisons:
        marked = (
            "† not distinguishable from the best of its group"
            if outcome.tied
            else "Every row judged is distinguishable from the best of its group"
        )
        notes.append(
            f"{marked}: paired bootstrap over the test images with {outcome.resamples:,} resamples, "
            f"p {'≥' if outcome.tied else '<'} {LEVEL:g} after Holm's correction for the "
            f"{outcome.comparisons} comparison{'' if outcome.comparisons == 1 else 's'} of a column. It speaks of "
            "other test images for these networks; how much training varies is the spread over seeds."
        )
    if outcome.unjudged:
        names = list(outcome.unjudged)
        listed = ", ".join(names[:MISSING_LISTED]) + (
            f" and {len(names) - MISSING_LISTED} more" if len(names) > MISSING_LISTED else ""
        )
        why = "ranks of single test queries (ranks.npz) on the same data" if report.split == "test" else "ranks on dev"
        notes.append(f"Not judged against the best, for want of {why}: {listed}.")
    if outcome.comparisons and any(metric not in METRICS for metric in report.metrics):
        notes.append("Median and mean ranks are not judged.")
    return notes


def _title(dataset: str) -> str:
    return CARDS[dataset].title if dataset in CARDS and CARDS[dataset].title else dataset


def _test(planned: list[CellSpec], ledger: Ledger) -> str:
    results = [ledger.cell(cell.fingerprint).result() or {} for cell in planned]
    if any(result.get("dataset", {}).get("test_is_dev") for result in results):
        return "there is no test split of its own: dev both selected and is measured, so the figures are optimistic"
    return "the test split selects nothing"


def unscored(report: Report, groups: list[Group], ledger: Ledger) -> list[str]:
    """Finished runs that a table has no number of."""
    rows = [row for group in groups for row in group.rows if row.planned]
    lacking = sum(states(row.planned, ledger)["done"] - row.n for row in rows)
    return [f"{lacking} finished runs are not scored under protocol {report.protocol}."] if lacking else []


def missing(report: Report, planned: list[CellSpec], rows: list[Row], axes: list[str], ledger: Ledger) -> list[str]:
    """Which rows lack runs, why, and the commands that make them.

    Args:
        planned: the cells as their grids have them, which know by what labels they are asked for.
        rows: the rows in print.
        axes: the axes that tell rows apart.
    """
    shown = {cell.fingerprint: cell for row in rows for cell in row.planned}
    asked = {cell.fingerprint: cell for cell in planned}
    total = states(shown.values(), ledger)
    lacking = [(row, states(row.planned, ledger)) for row in rows if row.planned]
    lacking = [(row, found) for row, found in lacking if set(found) - {"done"}]
    if not lacking:
        return []
    lines = [f"{total['done']} of {total.total()} runs are finished; – stands where none is."]
    if len(lacking) > MISSING_LISTED:
        commands = " && ".join(_run(report))
        return [*lines, f"`{commands}` trains the {total.total() - total['done']} that are missing."]
    for row, found in lacking:
        why = ", ".join(f"{n} {state}" for state, n in sorted(found.items()) if state != "done")
        command = _command(report, asked[row.planned[0].fingerprint], axes)
        lines.append(f"{' '.join(row.words)}: {why}; `{command}` trains it.")
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


def states(cells: Iterable[CellSpec], ledger: Ledger) -> Counter[str]:
    return Counter(ledger.cell(cell.fingerprint).state() for cell in cells)


def _command(report: Report, cell: CellSpec, axes: list[str]) -> str:
    only = [f"--only {shlex.quote(f'{axis}={cell.labels[axis]}')}" for axis in axes]
    return " && ".join(" ".join([run, *only]) for run in _run(report))


def _run(report: Report) -> list[str]:
    return [f"harness run {grid}{' --smoke' if report.smoke else ''}" for grid in report.grids]


def _mark(number: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    return (_mark(number // 26 - 1) if number >= 26 else "") + chr(ord("a") + number % 26)

"""The sentences around a table: what was measured how, what is missing and what makes it, sources."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress

from harness.data.cards import CARDS
from harness.errors import HarnessError
from harness.evaluation.bootstrap import METRICS
from harness.evaluation.protocols import PROTOCOLS
from harness.ledger.collapse import collapsed_labels
from harness.ledger.comparable import OTHER_PAIRS
from harness.printing.numbers import count
from harness.reporting.declaration import Report
from harness.reporting.rows.rows import Row
from harness.reporting.rows.significance import LEVEL, Judged
from harness.reporting.runs import LEFT_OUT, OUTDATED, Run
from harness.spec.facts import facts

# A smoke page looks like any other, and its best method is chance.
SMOKE = "A smoke run is cut in size and epochs: it shows that everything works, not which method is best."
LISTED = 6  # for more missing rows than this, one command for the whole grid is named

SELECTION = {
    "best_dev_rsum_of_last_piece": "the epoch with the best dev rSum of the last piece of training",
    "best_dev_rsum": "the epoch with the best dev rSum",
    "last": "the last epoch",
}
UNLIKE = {
    "mixed": "are copied from papers whose noise is not all of one kind: some made it by image, some by caption",
    "unstated": "are of papers that do not say which kind of noise they made",
}  # noise_kind -> what is said of numbers that ours must not be held against
BASE_RUN = "(base): the run that the others differ from in one value; the same runs at every hyperparameter."


def name_dataset(report: Report, runs: Iterable[Run]) -> str:
    """The one dataset of a report.

    Raises:
        HarnessError: its grids have several; their numbers must not stand in one table.
    """
    names = sorted({run.planned.run.dataset for run in runs})
    if len(names) > 1:
        raise HarnessError(f"{report.name}: its cells are on {' and '.join(names)}; a table is on one dataset")
    return names[0]


def refuse_other_dev(report: Report, runs: Sequence[Run]) -> None:
    """Dev metrics over different numbers of images must not stand in one table or figure.

    Raises:
        HarnessError: they would.
    """
    chosen = {report.split: report.where}
    if report.figure:
        chosen[getattr(report.figure, "split", "test")] = {**report.where, **report.figure.where}
    if "dev" in chosen:
        where = chosen["dev"].items()
        shown = [run for run in runs if all(run.planned.place.get(axis) in values for axis, values in where)]
        sizes = {run.planned.run.evaluation.dev_images for run in shown}
        if len(sizes) > 1:
            listed = " and ".join(sorted(map(str, sizes)))
            raise HarnessError(
                f'{report.name}: split = "dev", but its cells have evaluation.dev_images = {listed}; their metrics are '
                "not comparable; choose cells of one with where"
            )


def title_dataset(name: str) -> str:
    return CARDS[name].title if name in CARDS and CARDS[name].title else name


def join_sentences(*sentences: str) -> str:
    """Those that are not empty, each with its stop."""
    return ". ".join(filter(None, sentences)) + "."


def caption_cells(report: Report, rows: Sequence[Row]) -> str:
    """Dataset, protocol, selection rule, seeds: what a reader must know to compare."""
    runs = [run for row in rows for run in row.runs]
    protocol = PROTOCOLS[report.protocol].title if report.protocol in PROTOCOLS else report.protocol
    where = f"test split, protocol {report.protocol}: {protocol}" if report.split == "test" else "dev split"
    shared = " and ".join(map(report.title_of, report.grouped_by))
    bold = "Bold: the best of ours" + (f" at each value of {shared}" if shared else "")
    return join_sentences(
        report.title,
        f"Dataset: {title_dataset(name_dataset(report, runs))}",
        f"Recalls in percent on the {where}; {name_noise(runs)}",
        f"The network scored is that of {name_selection(runs)}; {_explain_test(runs)}",
        _count_seeds(rows),
        bold if any(row.n for row in rows) else "",
        *name_reconstructions(runs),
    )


def _count_seeds(rows: Iterable[Row]) -> str:
    """Over how many seeds the numbers are, in a sentence."""
    counts = sorted({row.n for row in rows if row.n})
    if not counts:
        return "No run is finished yet"
    if counts[-1] == 1:
        return "Each value is of one seed"
    return f"Mean ± standard deviation over {counts[0]}{f' to {counts[-1]}' if len(counts) > 1 else ''} seeds"


def name_reconstructions(runs: Iterable[Run]) -> list[str]:
    """A sentence for each method that is not its authors' own, without its stop."""
    found = {}
    for name in sorted({run.planned.run.method.name for run in runs}):
        with suppress(HarnessError):  # a method that has gone is still reported
            found[name] = facts("method", name).reconstruction
    return [f"{name} is a reconstruction, {why}" for name, why in found.items() if why]


def caption_labels(report: Report, rows: Sequence[Row]) -> str:
    """As `caption_cells`, of a report about labels."""
    runs = [run for row in rows for run in row.runs]
    return join_sentences(
        report.title,
        subtitle_figure(report, rows),
        f"The network is that of {name_selection(runs)}; {name_noise(runs)}",
        "AUC: the chance that a clean pair stands above a noisy one",
        "Mean and standard deviation over the seeds",
    )


def name_noise(runs: Sequence[Run]) -> str:
    """Which noise the training pairs carry."""
    if all(run.planned.run.dataset in CARDS and CARDS[run.planned.run.dataset].noise == "real" for run in runs):
        return "the training pairs carry real noise and none is added"
    kinds = sorted({hyphenate(run.planned.run.noise.name) for run in runs})
    return f"{', '.join(kinds)} noise in the training split alone"


def hyphenate(noise: str) -> str:
    """A noise model's name before the word "noise"."""
    return "from an index file" if noise == "index_file" else noise.replace("_", "-")


def name_selection(runs: Iterable[Run]) -> str:
    return " or ".join(sorted({SELECTION[run.planned.run.evaluation.selection] for run in runs}))


def title_part(report: Report, part: str) -> str:
    """The title of one of the columns of a metric that is compared."""
    spec = report.published
    return f"published, {spec.noise_kind} noise" if spec and not spec.comparable and part == "published" else part


def explain_published(report: Report) -> list[str]:
    """That published numbers of another kind of noise are not comparable, where the report shows such."""
    if report.published is None or report.published.comparable:
        return []
    return [
        f"The published numbers {UNLIKE[report.published.noise_kind]}. They are not comparable with ours, and no "
        "difference is given."
    ]


def explain_marks(report: Report, judged: Judged) -> list[str]:
    """What the daggers of a table say, what they do not, and what could not be judged."""
    notes = []
    if judged.comparisons:
        marked = (
            "† not distinguishable from the best of its group"
            if judged.tied
            else "Every row judged is distinguishable from the best of its group"
        )
        notes.append(
            f"{marked}: paired bootstrap over test images and seeds with {judged.resamples:,} resamples, "
            f"p {'≥' if judged.tied else '<'} {LEVEL:g} after Holm's correction for the "
            f"{count(judged.comparisons, 'comparison')} of a column. With one seed it says how the difference varies "
            "with the test images alone; few seeds understate how it varies from training to training."
        )
    if judged.unjudged:
        names = list(judged.unjudged)
        listed = ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
        why = "ranks of single test queries (ranks.npz) on the same data" if report.split == "test" else "ranks on dev"
        notes.append(f"Not judged against the best, because there are no {why}: {listed}.")
    if judged.comparisons and any(metric not in METRICS for metric in report.metrics):
        notes.append("Median and mean ranks are not judged.")
    return notes


def title_costs(report: Report) -> list[str]:
    """The columns of what a row costs; none in a report without `cost`."""
    if report.cost is None:
        return []
    baseline = report.word_for(report.rows[-1], report.cost)
    return [f"× {baseline}", "s/epoch", "MB", "M numbers", "networks", "one alone"]


def explain_costs(report: Report) -> list[str]:
    """What the columns of a cost hold."""
    if report.cost is None:
        return []
    return [
        "Cost: seconds of an epoch, its evaluation of dev included, relative to "
        f"{report.word_for(report.rows[-1], report.cost)} on the same pairs, and absolute; the most memory that "
        "training held; numbers learnt; networks that score together at test time, and the rSum of one of them alone. "
        "Runs beside each other on one machine slow each other down, so the ratios are rough."
    ]


def name_collapsed(runs: Iterable[Run]) -> list[str]:
    """Finished runs whose labels have collapsed, so that their numbers are not the method's."""
    faults = ((run, collapsed_labels(run.result.get("labels") or {})) for run in runs if run.result)
    listed = [f"{run.planned.name} ({fault.removeprefix('labels collapsed: ')})" for run, fault in faults if fault]
    if not listed:
        return []
    more = f" and {len(listed) - LISTED} more" if len(listed) > LISTED else ""
    return [f"Labels collapsed in {', '.join(listed[:LISTED])}{more}; `harness diagnose` says more of each."]


def name_damaged(runs: Iterable[Run]) -> list[str]:
    """Finished runs that lost a file: their numbers stand, what was read from the file does not."""
    listed = [f"{run.planned.name}: {run.damage}" for run in runs if run.result and run.damage]
    more = [f"{count(len(listed) - LISTED, 'run')} besides lost a file."] if len(listed) > LISTED else []
    return [*listed[:LISTED], *more]


def count_unscored(report: Report, rows: Iterable[Row]) -> list[str]:
    """Finished runs that a table has no number of."""
    lacking = sum(count_states(row.runs)["done"] - row.n for row in rows if row.runs)
    return [f"Without a score under protocol {report.protocol}: {count(lacking, 'finished run')}."] if lacking else []


def list_missing(report: Report, runs: Iterable[Run], rows: Iterable[Row], axes: Sequence[str]) -> list[str]:
    """Which rows lack runs, why, and the commands that make them.

    Args:
        runs: the runs as their grids have them, which know by what place they are asked for.
        rows: the rows in print.
        axes: the axes that tell rows apart.
    """
    rows = [row for row in rows if row.runs]
    total = count_states({run.fingerprint: run for row in rows for run in row.runs}.values())
    missing = total.total() - total["done"] - total[LEFT_OUT]
    lacking = [(row, states) for row in rows if set(states := count_states(row.runs)) - {"done", LEFT_OUT}]
    if not lacking:
        return []
    lines = [f"Finished: {total['done']} of {count(total.total(), 'run')}; – stands where none is."]
    commands = list_commands(report)
    if len(lacking) > LISTED:
        return [*lines, f"`{' && '.join(commands)}` trains the {missing} that are missing."]
    asked = {run.fingerprint: run.planned.place for run in runs}
    for row, states in lacking:
        why = ", ".join(f"{n} {state}" for state, n in sorted(states.items()) if state not in ("done", LEFT_OUT))
        place = asked[row.runs[0].fingerprint]
        only = "".join(f" --only {shlex.quote(f'{axis}={place[axis]}')}" for axis in axes)
        command = " && ".join(command + only for command in commands)
        lines.append(f"{' '.join(row.words)}: {why}; `{command}` trains what is missing.")
    return lines


def list_apart(report: Report, rows: Iterable[Row]) -> list[str]:
    """Finished runs that do not count here, because they are not comparable with the others, and runs that count but
    are not of what lies in the data folder; with the command that trains them again."""
    runs = {run.fingerprint: run for row in rows for run in row.runs}.values()
    command = " && ".join(f"{run} --retrain" for run in list_commands(report))
    notes = []
    for why, n in Counter(run.left_out for run in runs if run.left_out).items():
        again = {
            OTHER_PAIRS: "move the folders of one kind elsewhere to train them again",
            OUTDATED: f"`{' && '.join(list_commands(report))}` scores it again",
        }.get(why, f"`{command}` trains them again and keeps what there is")
        notes.append(f"{count(n, 'finished run')} left out, {why}: no mean is over both; {again}.")
    for why, n in Counter(run.other for run in runs if run.other).items():
        notes.append(f"{count(n, 'run')} of this table: {why}; `{command}` trains them again and keeps what there is.")
    return notes


def list_commands(report: Report) -> list[str]:
    """What trains the runs of a report."""
    return [f"harness run {grid}{' --smoke' if report.smoke else ''}" for grid in report.grids]


def subtitle_figure(report: Report, rows: Sequence[Row]) -> str:
    """Under a figure's title: dataset, and how many seeds."""
    name = name_dataset(report, (run for row in rows for run in row.runs))
    most = max((row.n for row in rows), default=0)
    title = CARDS[name].title.split(":")[0] if name in CARDS else name
    stand_in = "; a stand-in, not a paper's benchmark" if name in CARDS and "stand-in" in CARDS[name].title else ""
    bars = f"; bars: standard deviation over {most} seeds" if most > 1 else ""
    return f"{title}{stand_in}{bars}"


def count_states(runs: Iterable[Run]) -> Counter[str]:
    return Counter(run.state for run in runs)


def name_footnote(number: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    return (name_footnote(number // 26 - 1) if number >= 26 else "") + chr(ord("a") + number % 26)


def _explain_test(runs: Iterable[Run]) -> str:
    if any(run.dataset.get("test_is_dev") for run in runs):
        return "there is no test split: dev chose the epoch and is scored here, so the figures are optimistic"
    return "the test split selects nothing"

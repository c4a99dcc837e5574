"""What stands behind the numbers of one row: every seed with its run, the published value, settings, machine."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.grids import CellSpec
from harness.reporting.comparison.facts import flat
from harness.reporting.page.numbers import decimal, duration, signed
from harness.reporting.page.runs import Run, Runs
from harness.reporting.render import DAGGER
from harness.reporting.spec import Report
from harness.reporting.table import Entry, Row
from harness.reporting.words import SELECTION


@dataclass(frozen=True)
class Line:
    """One line of numbers, a value for each metric; `run` where it is one run's."""

    head: str
    values: list[str]
    run: Run | None = None
    noise: str = ""
    time: str = ""


@dataclass(frozen=True)
class Provenance:
    """Everything about one row. `metrics` are (name, heading); `facts` (what, values), all as printed."""

    id: str
    title: str
    metrics: Sequence[tuple[str, str]]
    runs: list[Line]
    totals: list[Line] = field(default_factory=list)
    facts: list[tuple[str, list[str]]] = field(default_factory=list)


def of_row(row: Row, report: Report, runs: Runs, differing: Sequence[str], place: str) -> Provenance:
    """Of a row of a table; `differing` names the settings in which the runs of the report differ."""
    metrics = [(metric, report.heading(metric)) for metric in report.metrics]
    mine = [runs[spec.fingerprint] for spec in row.planned]
    lines = [_line(run, report, [metric for metric, _ in metrics]) for run in mine]
    entries = [row.entries[metric] for metric, _ in metrics]
    totals = [
        Line("mean", [decimal(entry.mean) for entry in entries]),
        Line("± std", [decimal(entry.std) for entry in entries]),
        Line("published", [decimal(entry.published) for entry in entries]),
        Line("difference", [signed(entry.difference) for entry in entries]),
        Line("p against best", [_standing(entry) for entry in entries]),
    ]
    facts = _facts(mine, differing)
    if row.published is not None:
        facts.insert(0, ("Published", [f"{row.published.footnote} ({row.published.status})"]))
    where = "dev split" if report.split == "dev" else f"test split, protocol {report.protocol}"
    facts.insert(0, ("Scored on", [where]))
    title = " · ".join(word for word in row.words if word)
    return Provenance(place, title, metrics, lines, [line for line in totals if any(line.values)], facts)


def of_run(run: Run, report: Report, differing: Sequence[str], place: str) -> Provenance:
    """Of a single run, where the report has no table of metrics."""
    metrics = [(metric, report.heading(metric)) for metric in report.metrics]
    line = _line(run, report, [metric for metric, _ in metrics])
    return Provenance(place, run.spec.name, metrics, [line], [], _facts([run], differing))


def differing_settings(specs: Iterable[CellSpec]) -> list[str]:
    """Dotted settings that are not the same in all runs; the seed apart, which every line has."""
    tables = [flat(spec.run.table()) for spec in specs]
    names = dict.fromkeys(name for table in tables for name in table if name != "seed")
    return [name for name in names if len({repr(table.get(name)) for table in tables}) > 1]


def common_settings(specs: Iterable[CellSpec]) -> list[tuple[str, str]]:
    """Dotted settings with their value that all runs share."""
    specs = list(specs)
    differing = {"seed", *differing_settings(specs)}
    table = flat(specs[0].run.table()) if specs else {}
    return [(name, _word(value)) for name, value in table.items() if name not in differing]


def _line(run: Run, report: Report, metrics: Sequence[str]) -> Line:
    values = [decimal(run.score(metric, report.split, report.protocol)) for metric in metrics]
    rate = run.result.get("noise", {}).get("realised_rate")
    time = duration(run.seconds) if run.result else ""
    return Line(str(run.spec.run.seed), values, run, "" if rate is None else f"{100 * rate:.1f} %", time)


def _standing(entry: Entry) -> str:
    """The best of its group, or the adjusted p against it, with a dagger where that does not tell them apart."""
    if entry.best:
        return "best"
    if entry.p is None:
        return ""
    p = f"{entry.p:.3f}" if entry.p >= 0.001 else "<0.001"
    return f"{p}{DAGGER}" if entry.tied else p


def _facts(mine: Sequence[Run], differing: Sequence[str]) -> list[tuple[str, list[str]]]:
    tables = [flat(run.spec.run.table()) for run in mine]
    settings = []
    for name in differing:
        values = dict.fromkeys(_word(table[name]) for table in tables if table.get(name) is not None)
        settings += [f"{name} = {' or '.join(values)}"] if values else []
    done = [run for run in mine if run.result]
    facts = {
        "Failed": [f"seed {run.spec.run.seed}: {run.failure}" for run in mine if run.failure],
        "Selected": _distinct(SELECTION.get(rule, rule) for rule in (r.spec.run.evaluation.selection for r in mine)),
        "Members": _distinct(member for run in done for member in run.result.get("members", [])),
        "Computed with": _distinct(_machine(run.environment) for run in done),
        "Commit": _distinct(run.environment.get("git_commit") or "not recorded" for run in done),
        "Finished": _distinct(run.result.get("finished", "")[:10] for run in done),
        "Settings that differ": [", ".join(settings)] if settings else [],
    }
    return [(what, values) for what, values in facts.items() if values]


def _machine(environment: dict[str, Any]) -> str:
    """Versions, device, precision and threads, as far as they were recorded."""
    words = [f"{name} {environment[name]}" for name in ("harness", "torch") if environment.get(name)]
    words += [str(environment[name]) for name in ("device", "precision") if environment.get(name)]
    words += [f"{environment['threads']} threads"] if environment.get("threads") else []
    words += ["compiled"] if environment.get("compile") else []
    return ", ".join(words)


def _distinct(words: Iterable[str]) -> list[str]:
    return [word for word in dict.fromkeys(words) if word]


def _word(value: Any) -> str:
    if isinstance(value, list):
        return "-".join(map(str, value))
    return "none" if value is None else "on" if value is True else "off" if value is False else str(value)

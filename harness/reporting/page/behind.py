"""What stands behind the numbers of one row: every seed with its run, the published value, settings, machine."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.printing.numbers import decimal, duration, percent, short
from harness.printing.table import DAGGER, Column, Table, Value, number
from harness.reporting.declaration import Report
from harness.reporting.reports.words import SELECTION
from harness.reporting.rows.rows import Entry, Row
from harness.reporting.runs import Run
from harness.tracking.records import flatten

Facts = list[tuple[str, list[str]]]  # what, and its values as printed


def explain_row(row: Row, report: Report, differing: Sequence[str], links: Mapping[str, str]) -> dict[str, Any]:
    """Title of a row, table of its runs and of what their numbers come to, facts on how they were made.

    differing: the settings in which the runs of the report differ. links: fingerprint -> URL of its MLflow run.
    """
    columns = [Column("Seed", "word"), *(Column(report.title_of(metric), metric=metric) for metric in report.metrics)]
    columns += [Column("Realised noise"), Column("Time"), Column("Run", "word")]
    runs = [_line(run, report, links.get(run.fingerprint, "")) for run in row.runs]
    facts = _list_facts(row.runs, differing)
    if row.published is not None:
        facts.insert(0, ("Published", [f"{row.published.footnote} ({row.published.status})"]))
    if report.metrics:
        where = "dev split" if report.split == "dev" else f"test split, protocol {report.protocol}"
        facts.insert(0, ("Scored on", [where]))
    title = " · ".join(word for word in row.words if word)
    totals = _totals([row.entries[metric] for metric in report.metrics])
    return {"title": title, "table": Table(columns, [runs, totals]), "facts": facts}


def part_settings(runs: Sequence[Run]) -> tuple[list[str], list[str]]:
    """The dotted settings in which runs differ, and those that all share, with their value; the seed apart, which every
    line has."""
    tables = [dict(flatten(run.planned.run.table())) for run in runs]
    names = dict.fromkeys(name for table in tables for name in table if name != "seed")
    differing = [name for name in names if len({repr(table.get(name)) for table in tables}) > 1]
    first = tables[0] if tables else {}
    return differing, [f"{name} = {short(first[name])}" for name in names if name in first and name not in differing]


def _line(run: Run, report: Report, link: str) -> list[Value]:
    scores = [run.score(metric, report.split, report.protocol) for metric in report.metrics]
    state = "" if run.state == "done" else f" {run.state}"
    return [
        Value(str(run.planned.run.seed)),
        *map(number, scores),
        Value("" if run.noise_rate is None else percent(run.noise_rate)),
        Value(duration(run.seconds) if run.result else ""),
        Value(f"`{run.fingerprint}`{state}", link=link),
    ]


def _totals(entries: list[Entry]) -> list[list[Value]]:
    """Below the seeds: mean, spread, published value, difference, p; those of which there is something to say."""
    lines = {
        "mean": [decimal(entry.mean) for entry in entries],
        "± std": [decimal(entry.std) for entry in entries],
        "published": [decimal(entry.published) for entry in entries],
        "difference": [decimal(entry.difference, sign=True) for entry in entries],
        "p against best": [_describe_p(entry) for entry in entries],
    }
    return [[Value(head), *map(Value, words), *[Value("")] * 3] for head, words in lines.items() if any(words)]


def _describe_p(entry: Entry) -> str:
    """The best of its group, or the adjusted p against it, with a dagger where that does not tell them apart."""
    if entry.best or entry.p is None:
        return "best" if entry.best else ""
    return ("<0.001" if entry.p < 0.001 else f"{entry.p:.3f}") + (DAGGER if entry.tied else "")


def _list_facts(runs: Sequence[Run], differing: Sequence[str]) -> Facts:
    tables = [dict(flatten(run.planned.run.table())) for run in runs]
    settings = []
    for name in differing:
        values = dict.fromkeys(short(table[name]) for table in tables if table.get(name) is not None)
        settings += [f"{name} = {' or '.join(values)}"] if values else []
    done = [run for run in runs if run.result]
    facts = {
        "Failed": [f"seed {run.planned.run.seed}: {run.failure}" for run in runs if run.failure],
        "Selected": _distinct(SELECTION[run.planned.run.evaluation.selection] for run in runs),
        "Members": _distinct(member for run in done for member in run.result.get("members", [])),
        "Computed with": _distinct(_describe_machine(run.environment) for run in done),
        "Commit": _distinct(run.environment.get("git_commit") or "not recorded" for run in done),
        "Finished": _distinct(run.result.get("finished", "")[:10] for run in done),
        "Settings that differ": [", ".join(settings)] if settings else [],
    }
    return [(what, values) for what, values in facts.items() if values]


def _describe_machine(environment: Mapping[str, Any]) -> str:
    """Versions, device, precision and threads, as far as they were recorded."""
    words = [f"{name} {environment[name]}" for name in ("harness", "torch") if environment.get(name)]
    words += [str(environment[name]) for name in ("device", "precision") if environment.get(name)]
    words += [f"{environment['threads']} threads"] if environment.get("threads") else []
    words += ["compiled"] if environment.get("compile") else []
    return ", ".join(words)


def _distinct(words: Iterable[str]) -> list[str]:
    return [word for word in dict.fromkeys(words) if word]

"""The leaderboard: what contributors measured, a table for each data set and protocol, best first at each noise."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.evaluation.measures import RECALLS
from harness.grids.expand import PlannedCell
from harness.ledger.comparable import Nothing, Trained, together
from harness.printing.numbers import percent, short
from harness.reporting.declaration import Report
from harness.reporting.reports.cells import render_cells
from harness.reporting.reports.rendered import Rendered
from harness.reporting.reports.words import title_dataset
from harness.reporting.runs import Run, read_cell
from harness.sharing.results import Contributed
from harness.tracking.records import flatten

ROWS = ["noise", "method", "backbone", "by"]
NAMES = {"noise": "Noise", "by": "Trained by"}
OF_A_ROW = ("seed", "noise.path", "noise.sha256")  # what the runs of one row may differ in
NOTE = (
    "Collected from the files of reports/results/, one for each contributor; docs/sharing.md says how to add yours. "
    "Rows of one table were scored on the same data (their digests are the same) and, at one noise and seed, trained "
    "on the same pairs. Who searched settings longer stands higher: see what stands behind each row."
)


def render_leaderboard(contributed: Sequence[Contributed]) -> list[Rendered]:
    """A report for each data set, state of its data and protocol, as harness/reporting/page prints them.

    What is not comparable with the others of its data set (harness/ledger/comparable.py: another version of the code,
    other training pairs at the same noise and seed) is left out, and a note says how much.

    Args:
        contributed: the runs, whose cells are there until the page is written.
    """
    tables: dict[tuple[str, str, str], list[Contributed]] = {}
    for each in contributed:
        result = each.cell.result() or {}
        for protocol in result["test"]:
            tables.setdefault((result["dataset"]["name"], result["dataset"]["digest"], protocol), []).append(each)
    states: dict[str, set[str]] = {}
    for name, digest, _ in tables:
        states.setdefault(name, set()).add(digest)
    return [
        _render(name, f" (data {digest[:8]})" if len(states[name]) > 1 else "", protocol, here)
        for (name, digest, protocol), here in sorted(tables.items(), key=lambda item: item[0])
    ]


def _render(dataset: str, state: str, protocol: str, contributed: Sequence[Contributed]) -> Rendered:
    out = together(Trained.of(each.cell for each in contributed), Nothing())
    kept = [each for each in contributed if each.cell.fingerprint not in out]
    reasons = sorted(set(out.values()))
    left_out = [f"{sum(why == each for each in out.values())} left out, {why}." for why in reasons]
    report = Report(
        name=f"leaderboard-{dataset}-{protocol}{state}",
        folder=Path(),
        title=f"{title_dataset(dataset).split(':')[0]}, protocol {protocol}{state}",
        rows=ROWS,
        metrics=["rsum", *RECALLS],
        protocol=protocol,
        names=NAMES,
        notes=[NOTE, *left_out],
    )
    rendered = _best_first(render_cells(report, _placed(kept)))
    # Ranks of single queries do not travel with the figures, so no row is judged, and none need be named.
    notes = [note for note in rendered.notes if not note.startswith("Not judged")]
    return replace(rendered, caption=rendered.caption.replace("the best of ours", "the best"), notes=notes)


def _placed(contributed: Sequence[Contributed]) -> list[Run]:
    """The runs, each with its place on the axes of the table, by noise."""
    runs = [(each.by, read_cell(each.cell)) for each in contributed]
    words = _tell_apart(runs)
    placed = [
        replace(run, planned=replace(run.planned, place=_place(by, run.planned, words[number])))
        for number, (by, run) in enumerate(runs)
    ]
    return sorted(placed, key=lambda run: (run.planned.run.noise.name, run.noise_rate or 0.0))


def _place(by: str, planned: PlannedCell, settings: str) -> dict[str, Any]:
    run = planned.run
    rate = run.noise.parameters.get("rate")
    noise = f"{run.noise.name.replace('_', ' ')} {percent(rate, 0)}" if isinstance(rate, float) else run.noise.name
    method = run.method.name + (" (oracle)" if run.oracle else "")
    return {"noise": noise, "method": f"{method}{settings}", "backbone": run.backbone.name, "by": by, "seed": run.seed}


def _tell_apart(runs: Sequence[tuple[str, Run]]) -> list[str]:
    """For each run the settings, in brackets, by which it differs from others of its noise, method, backbone and
    author; what one row's runs may differ in is no such setting."""
    tables = [{key: value for key, value in flatten(run.planned.run.table()) if key not in OF_A_ROW} for _, run in runs]
    alike: dict[tuple[Any, ...], list[int]] = {}
    for number, (by, run) in enumerate(runs):
        spec = run.planned.run
        key = (by, spec.noise.name, str(spec.noise.parameters.get("rate")), spec.method.name, spec.backbone.name)
        alike.setdefault((*key, spec.oracle), []).append(number)
    words = [""] * len(runs)
    for numbers in alike.values():
        keys = [
            key
            for key in dict.fromkeys(key for number in numbers for key in tables[number])
            if len({repr(tables[number].get(key)) for number in numbers}) > 1
        ]
        for number in numbers if keys else []:
            words[number] = ", " + ", ".join(f"{key} = {short(tables[number].get(key))}" for key in keys)
    return words


def _best_first(rendered: Rendered) -> Rendered:
    """The rows of each noise by their rSum."""
    rows, groups, at = [], [], 0
    for group in rendered.table.groups:
        both = list(zip(rendered.rows[at : at + len(group)], group, strict=True))
        at += len(group)
        both.sort(key=lambda pair: -(pair[0].entries["rsum"].mean or 0.0))
        rows += [row for row, _ in both]
        groups.append([values for _, values in both])
    return replace(rendered, rows=rows, table=replace(rendered.table, groups=groups))

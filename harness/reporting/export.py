"""A report for programs: NAME.json, a line for each value of the table. report.schema.json beside this file says what
every key holds."""

import json
import math
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.printing.table import Column, Value
from harness.reporting.declaration import Labels, Ranks, Report
from harness.reporting.papers import Cited
from harness.reporting.reports.rendered import Rendered
from harness.reporting.rows.rows import Row

FORMAT = 1  # raised when a key goes or changes its meaning
SCHEMA = Path(__file__).with_name("report.schema.json")
LEVEL = 0.95  # of the intervals


def export(rendered: Rendered, cited: Cited) -> dict[str, Any]:
    """The report as JSON has it; the same for the same runs."""
    report = rendered.report
    papers = {source: cited.footnotes.get(letter) for letter, source in rendered.footnotes.items()}
    return {
        "format": FORMAT,
        "report": report.name,
        "title": report.title,
        "kind": _kind(report),
        "protocol": rendered.protocol,
        "split": report.split,
        "cells": [
            cell
            for row, values in zip(rendered.rows, rendered.table.rows, strict=True)
            for cell in _cells(rendered, row, values, papers)
        ],
        "notes": rendered.notes,
    }


def dump(exported: dict[str, Any], *, indent: int | None = None) -> str:
    """As text; NaN, which JSON does not know, is an error of ours."""
    return json.dumps(exported, ensure_ascii=False, allow_nan=False, indent=indent)


def _kind(report: Report) -> str:
    if report.sweep is not None:
        return "sweep"
    return report.figure.kind if isinstance(report.figure, Labels | Ranks) else "cells"


def _cells(
    rendered: Rendered, row: Row, values: list[Value], papers: Mapping[str, str | None]
) -> Iterator[dict[str, Any]]:
    """The values of a row that are no keys. What is published stands with ours, and has no line of its own."""
    table = rendered.table
    about = {
        "place": dict(zip(rendered.axes, row.place, strict=True)),
        "words": [value.text for value in values[: table.keys]],
        "planned": len(row.runs),
    }
    for column, value in list(zip(table.columns, values, strict=True))[table.keys :]:
        if column.kind not in ("published", "difference"):
            yield {
                **about,
                "column": column.over or column.title,
                "metric": column.metric or None,
                **_cell(column, value, row, papers),
            }


def _cell(column: Column, value: Value, row: Row, papers: Mapping[str, str | None]) -> dict[str, Any]:
    entry = row.entries.get(column.metric or "")
    scores = [score for _, score in value.over]
    std = statistics.stdev(scores) if len(scores) > 1 else None
    source = row.published if row.published and entry and entry.published is not None else None
    marks = {"best": value.best, "tied": bool(entry and entry.tied)}
    return {
        "value": statistics.fmean(scores) if scores else _read(column, value),
        "std": std,
        "interval": None if std is None else _interval(scores, std),
        "seeds": [{"seed": seed, "value": score} for seed, score in value.over],
        "published": entry.published if entry else None,
        "difference": entry.difference if entry else None,
        "p_against_best": entry.p if entry else None,
        "source": source.source if source else None,
        "status": source.status if source else None,
        "note": source.note or None if source else None,
        "paper": papers.get(source.footnote) if source else None,
        "marks": [mark for mark, is_so in marks.items() if is_so],
    }


def _read(column: Column, value: Value) -> float | str | None:
    """A value that is no mean over seeds: six digits of a number, or a word."""
    if value.missing or not value.text:
        return None
    try:
        number = float(value.sort) if column.kind != "word" else math.nan
    except ValueError:
        return value.text
    return number if math.isfinite(number) else value.text


def _interval(scores: list[float], std: float) -> list[float]:
    """Of the mean, by Student's t over the seeds."""
    from scipy.stats import t

    mean, n = statistics.fmean(scores), len(scores)
    half = float(t.ppf((1 + LEVEL) / 2, n - 1)) * std / math.sqrt(n)
    return [mean - half, mean + half]

"""The gallery: one HTML file that needs no network and no other file."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.audit.cards import HEIGHT, WIDTH
from harness.printing.html import render_html
from harness.printing.numbers import percent
from harness.printing.table import Table, plain


def render(summary: dict[str, Any], cards: Iterable[dict[str, Any]], notes: list[str]) -> str:
    """The page of an audit: the figures of `summary` (see `audit.Audit`), the notes, and the cards by rank."""
    return render_html(
        Path(__file__).parent / "page.html.jinja",
        title=f"Audit of {summary['run']} on {summary['dataset']}",
        summary=summary,
        quality=tabulate_quality(summary) if summary["detection"] else None,
        cards=cards,
        notes=notes,
        width=WIDTH,
        height=HEIGHT,
    )


def tabulate_quality(summary: dict[str, Any]) -> Table:
    """How many of the lowest k pairs are wrong, beside a random order."""
    found = summary["detection"]
    rows = [[f"{cut['k']:,}", percent(cut["precision"]), percent(cut["recall"])] for cut in found["cutoffs"]]
    rows.append([f"{found['noisy']:,}, as many as are wrong", *[percent(found["r_precision"])] * 2])
    rows.append(["random order", percent(found["chance"]), f"k / {summary['pairs']:,}"])
    return plain(["lowest k", "precision", "recall"], rows, numbers=(1, 2))

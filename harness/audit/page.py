"""The gallery: one HTML file that needs no network and no other file."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.audit.cards import HEIGHT, WIDTH

HERE = Path(__file__).parent


def render(summary: dict[str, Any], cards: Iterable[dict[str, Any]], notes: list[str]) -> str:
    """The page of an audit: the figures of `summary` (see `audit.Audit`), the notes, and the cards by rank.

    Whatever comes from data (captions, ids, names) is escaped by the template; style and script are this project's own.
    """
    templates = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return templates.get_template("page.html").render(
        summary=summary,
        cards=cards,
        notes=notes,
        width=WIDTH,
        height=HEIGHT,
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup((HERE / "page.js").read_text(encoding="utf-8")),
    )

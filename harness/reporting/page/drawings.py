"""Figures as inline SVG: on a page of several, no two elements may share an id, and no style may leave its drawing."""

import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from harness.reporting.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Comments repeat every text; the metadata names licences nobody asked for; the style sheet would apply to the page.
SUPERFLUOUS = re.compile(r"<!--.*?-->|<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<title>.*?</title>", re.DOTALL)
OWN_ID = re.compile(r'\bid="([^"]+)"')
REFERENCE = re.compile(r'(href="#|url\(#)')
OPENING = re.compile(r"<svg\b[^>]*>")
VIEW = re.compile(r'viewBox="([^"]+)"')


@dataclass(frozen=True)
class Drawing:
    """A figure, its description in words, and its natural width in CSS pixels."""

    svg: Markup
    words: str
    width: int


def draw(figure: "Figure", place: str, name: str) -> Drawing:
    """A figure for one place on the page, the same bytes for the same figure.

    Args:
        figure: in the style of all reports.
        place: a word for ids, its own for every figure of a page.
        name: what the figure is of, for those who cannot see it.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "figure.svg"
        style.save(figure, file)
        text = SUPERFLUOUS.sub("", file.read_text(encoding="utf-8"))
    opening = OPENING.search(text)
    view = VIEW.search(opening.group()) if opening else None
    if opening is None or view is None:  # not from matplotlib
        raise ValueError(f"{name}: the figure's SVG has no <svg viewBox>")
    inside = text[opening.end() :]
    inside = OWN_ID.sub(rf'id="{place}-\1"', inside)
    inside = REFERENCE.sub(rf"\1{place}-", inside)
    inside = re.sub(r"\n\s*", "\n", inside)
    words = f"{name}: {_axes(figure)}" if _axes(figure) else name
    head = f'<svg viewBox="{view.group(1)}" role="img" aria-labelledby="{place}-title">'
    title = f'<title id="{place}-title">{escape(words)}</title>'
    points = float(view.group(1).split()[2])
    return Drawing(Markup(head + title + inside.strip()), words, round(points * 4 / 3))


def _axes(figure: "Figure") -> str:
    """What is drawn against what, each once."""
    said = []
    for axes in figure.axes:
        x, y = axes.get_xlabel(), axes.get_ylabel()
        said.append(f"{y} against {x}" if x and y else x or y)
    return "; ".join(dict.fromkeys(" ".join(words.split()) for words in said if words))

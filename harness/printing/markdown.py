"""Markdown: sections of paragraphs, notes and GitHub's tables."""

import re

from tabulate import tabulate

from harness.printing.table import DAGGER, Block, Section, Table, Value

TAG = re.compile(r"<(?=[A-Za-z/!?])")


def markdown(*sections: Section) -> str:
    """The text of a page."""
    parts = []
    for section in sections:
        parts += [f"{'#' * section.level} {_plain(section.title)}", *map(_block, section.blocks)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _block(block: Block) -> str:
    if isinstance(block, Table):
        return _table(block)
    return _plain(block) if isinstance(block, str) else "\n".join(f"- {_plain(note)}" for note in block)


def _table(table: Table) -> str:
    """What several columns share stands over the first of them."""
    titles, above = [], ""
    for column in table.columns:
        titles.append(_plain(column.title if column.over in ("", above) else column.over))
        above = column.over
    body = [[_cell(value) for value in row] for group in table.printed for row in group]
    align = ["left" if column.kind == "word" else "right" for column in table.columns]
    return tabulate(body, titles, tablefmt="pipe", disable_numparse=True, colalign=align if body else None)


def _plain(text: str) -> str:
    """What would begin a tag or a comment of HTML stays text: titles and names come from files."""
    return TAG.sub("&lt;", text)


def _cell(value: Value) -> str:
    text = _plain(value.text).replace("|", r"\|") + (f" ± {value.spread}" if value.spread else "")
    text = f"**{text}**" if value.best else text
    return f"{text} {value.mark if value.mark == DAGGER else f'[{value.mark}]'}" if value.mark else text

"""Markdown: sections of paragraphs, notes and GitHub's tables."""

from tabulate import tabulate

from harness.printing.table import DAGGER, Block, Section, Table, Value


def markdown(*sections: Section) -> str:
    """The text of a page."""
    parts = []
    for section in sections:
        parts += [f"{'#' * section.level} {section.title}", *map(_block, section.blocks)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _block(block: Block) -> str:
    if isinstance(block, Table):
        return _table(block)
    return block if isinstance(block, str) else "\n".join(f"- {note}" for note in block)


def _table(table: Table) -> str:
    """What several columns share stands over the first of them."""
    titles, above = [], ""
    for column in table.columns:
        titles.append(column.title if column.over in ("", above) else column.over)
        above = column.over
    body = [[_cell(value) for value in row] for group in table.printed for row in group]
    align = ["left" if column.kind == "word" else "right" for column in table.columns]
    return tabulate(body, titles, tablefmt="pipe", disable_numparse=True, colalign=align if body else None)


def _cell(value: Value) -> str:
    text = value.text.replace("|", r"\|") + (f" ± {value.spread}" if value.spread else "")
    text = f"**{text}**" if value.best else text
    return f"{text} {value.mark if value.mark == DAGGER else f'[{value.mark}]'}" if value.mark else text

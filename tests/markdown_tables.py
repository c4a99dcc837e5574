"""The tables of a page in Markdown."""

from collections.abc import Iterator


def tables(text: str) -> Iterator[dict[str, str]]:
    """Each row of each table, by the words over its columns."""
    heads: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if cells and heads and not cells[0].startswith(":-"):
            yield dict(zip(heads, cells, strict=True))
        heads = heads if cells and heads else cells

"""`harness list`: everything that a spec may name."""

import click
from rich.console import Console
from rich.table import Table


@click.command()
def command() -> None:
    """What there is: experiments, reports, methods, backbones, noise models, datasets."""
    from harness.data.cards import CARDS
    from harness.grids import declarations, read_toml
    from harness.grids.resolve import CATALOGUES

    console = Console()
    for room in ("experiments", "sweeps", "reports"):
        found = declarations(room)
        if found:
            _print(console, room, {name: read_toml(path).get("title", "") for name, path in found.items()})
    for kind, catalogue in CATALOGUES.items():
        _print(console, f"{kind}s" if kind != "noise" else "noise models",
               {name: _first_line(cls) for name, cls in catalogue.items()})  # fmt: skip
    _print(console, "datasets", {name: card.title for name, card in CARDS.items()})


def _print(console: Console, title: str, rows: dict[str, str]) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None, padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column()
    for name, text in rows.items():
        table.add_row(name, text)
    console.print(table)


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").strip().splitlines()[0]

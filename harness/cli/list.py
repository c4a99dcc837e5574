"""`harness list`: everything that a spec may name, and the hyperparameters of each."""

import inspect

import click
from rich.console import Console
from rich.table import Table


@click.command()
@click.argument("component", required=False)
def command(component: str | None) -> None:
    """What there is: experiments, sweeps, reports, methods, backbones, noise models, datasets.

    With the name of a COMPONENT (a method, backbone or noise model): what it does and its hyperparameters.
    """
    from harness.data.cards import CARDS
    from harness.errors import HarnessError, suggest
    from harness.grids import declarations, read_toml
    from harness.grids.resolve import CATALOGUES

    console = Console()
    components = {name: cls for catalogue in CATALOGUES.values() for name, cls in catalogue.items()}
    if component is not None:
        if component not in components:
            raise HarnessError(f"harness list {component}: no such component; {suggest(component, components)}")
        _describe(console, component, components[component])
        return
    for room in ("experiments", "sweeps", "reports"):
        found = declarations(room)
        if found:
            _print(console, room, {name: read_toml(path).get("title", "") for name, path in found.items()})
    for kind, catalogue in CATALOGUES.items():
        title = "noise models" if kind == "noise" else f"{kind}s"
        _print(console, title, {name: _first_line(cls) for name, cls in catalogue.items()})
    _print(console, "datasets", {name: card.title for name, card in CARDS.items()})


def _describe(console: Console, name: str, cls: type) -> None:
    from harness.spec import keywords

    console.print(f"{name}  ({cls.__module__.replace('.', '/')}.py)", style="bold", highlight=False)
    console.print(inspect.getdoc(cls), highlight=False, markup=False)
    schema = keywords(cls).model_json_schema()["properties"]
    rows = {}
    for key, field in keywords(cls).model_fields.items():
        default = "required" if field.is_required() else f"default {field.default!r}"
        rows[key] = ", ".join([default, *_limits(schema[key])])
    _print(console, "hyperparameters", rows)


def _limits(schema: dict[str, object]) -> list[str]:
    """The bounds and choices of a hyperparameter, as its JSON schema has them."""
    words = {"minimum": ">=", "maximum": "<=", "exclusiveMinimum": ">", "exclusiveMaximum": "<"}
    limits = [f"{word} {schema[key]:g}" for key, word in words.items() if key in schema]
    if isinstance(choices := schema.get("enum"), list):
        limits.append("one of " + ", ".join(map(str, choices)))
    return limits


def _print(console: Console, title: str, rows: dict[str, str]) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None, padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column()
    for name, text in rows.items():
        table.add_row(name, text)
    console.print(table, highlight=False)


def _first_line(cls: type) -> str:
    return (inspect.getdoc(cls) or "").splitlines()[0]

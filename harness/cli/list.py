"""`harness list`: everything that a spec may name, and the hyperparameters of each."""

import inspect

import click
from rich.console import Console
from rich.table import Table


@click.command()
@click.argument("component", required=False)
def command(component: str | None) -> None:
    """List what a spec can name: experiments, sweeps, reports, methods, backbones, noise models and data sets.

    With the name of a COMPONENT (a method, backbone or noise model), describe it and its hyperparameters. Name a
    component of your own as package.module:Class.
    """
    from harness.data.cards import CARDS
    from harness.grids import declarations, read_toml
    from harness.spec import KINDS, plugged
    from harness.spec.facts import own_facts

    console = Console()
    if component is not None:
        _describe(console, component)
        return
    for room in ("experiments", "sweeps", "reports"):
        found = declarations(room)
        if found:
            _print(console, room, {name: read_toml(path).get("title", "") for name, path in found.items()})
    for kind in KINDS:
        title = "noise models" if kind == "noise" else f"{kind}s"
        _print(console, title, {name: _first_line(kind, name) for name in (*own_facts(kind), *plugged(kind))})
    _print(console, "datasets", {name: card.title for name, card in CARDS.items()})


def _describe(console: Console, name: str) -> None:
    from harness.kept import keep
    from harness.spec import KINDS
    from harness.spec.facts import own_facts

    ours = any(name in own_facts(kind) for kind in KINDS)
    file, about, rows = keep("component", name, lambda: _read(name)) if ours else _read(name)
    console.print(f"{name}  ({file})", style="bold", highlight=False)
    console.print(about, highlight=False, markup=False)
    _print(console, "hyperparameters", rows)


def _read(name: str) -> tuple[str, str | None, dict[str, str]]:
    """Where a component is, what it says of itself, and its hyperparameters with what they accept."""
    from harness.spec import find, keywords, kind_of, schema

    cls = find(kind_of(name), name)
    limits, rows = schema(cls), {}
    for key, field in keywords(cls).items():
        default = "required" if field.is_required() else f"default {field.default!r}"
        rows[key] = ", ".join([default, *_limits(limits[key])])
    return f"{cls.__module__.replace('.', '/')}.py", inspect.getdoc(cls), rows


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


def _first_line(kind: str, name: str) -> str:
    """What a component says of itself; of another package's that cannot be imported, why not."""
    from harness.errors import HarnessError
    from harness.spec.facts import facts

    try:
        return facts(kind, name).about
    except HarnessError as error:
        return str(error)

"""Options that several verbs share, defined once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

runs = click.option(
    "--runs", type=click.Path(path_type=Path, file_okay=False), default=Path("runs"), envvar="HARNESS_RUNS",
    show_default=True, help="Folder of the cell folders (HARNESS_RUNS).",
)  # fmt: skip
data = click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), default=Path("data"), envvar="HARNESS_DATA",
    show_default=True, help="Folder of the datasets (HARNESS_DATA).",
)  # fmt: skip
smoke = click.option("--smoke", is_flag=True, help="The grid's [smoke] settings: the same in minutes.")
only = click.option(
    "--only", "only", multiple=True, metavar="AXIS=VALUE", callback=lambda _c, _p, given: _pairs(given),
    help="Only the cells with this value on this axis; repeated, any of an axis's values and all of the axes.",
)  # fmt: skip


def machine(function: Callable[..., Any]) -> Callable[..., Any]:
    """Device, precision, compilation, checkpoint interval: nothing that a fingerprint depends on."""
    options: list[Decorator] = [
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps."),
        click.option("--precision", type=click.Choice(["float32", "tf32", "bf16"]), default="float32",
                     show_default=True, help="Number format of the forward pass."),
        click.option("--compile/--no-compile", "compile_", default=False, help="Use torch.compile."),
        click.option("--checkpoint-seconds", type=click.FloatRange(min=0), default=120.0, show_default=True,
                     help="Longest stretch of training between checkpoints."),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def _pairs(given: tuple[str, ...]) -> dict[str, list[str]]:
    pairs: dict[str, list[str]] = {}
    for item in given:
        axis, equals, value = item.partition("=")
        if not (axis and equals):
            raise click.BadParameter(f"{item!r}: write AXIS=VALUE, for example method=crcl")
        pairs.setdefault(axis, []).append(value)
    return pairs

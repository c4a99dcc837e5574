"""`harness report`: tables and figures over finished runs."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options

if TYPE_CHECKING:
    from harness.printing.layout import Style


def _place(name: str) -> tuple[int, str]:
    """Tables, then figures, then what the paper does not have."""
    first = ("table", "fig")
    return next((number for number, prefix in enumerate(first) if name.startswith(prefix)), len(first)), name


@click.command()
@click.argument("reports", nargs=-1, metavar="[REPORT]...")
@options.runs
@options.data
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("out"), show_default=True,
    help="The folder to write to.",
)  # fmt: skip
@click.option(
    "--format", "printed", type=click.Choice(["markdown", "json"]), default="markdown", show_default=True,
    help="What is printed; every format is written. json: one line for each report, and nothing else.",
)  # fmt: skip
@click.option(
    "--latex-style", "style", type=click.Choice(["narrow", "wide", "rotated"]), default="narrow", show_default=True,
    help="What a table in LaTeX fits: the text of article, 345 pt; 397 pt, in table*; a page on its side.",
)  # fmt: skip
@options.smoke
def command(
    reports: tuple[str, ...], runs: Path, data: Path, out: Path, printed: str, style: "Style", smoke: bool
) -> None:
    """Print each REPORT (a name in reports/ or a .toml file) as Markdown, and write it as Markdown, LaTeX, CSV and
    JSON, its figures as PNG, SVG and PDF. Without a name, write all of reports/.

    OUT/index.html shows all reports on one page; a single REPORT is written to OUT/REPORT.html. What is not trained yet
    shows as missing, with the command that trains it. Runs that were trained on other data than --data holds now are
    left out and counted in a note.
    """
    from harness.data.now import DataNow
    from harness.errors import HarnessError
    from harness.grids import declarations
    from harness.ledger import Ledger
    from harness.reporting import format_json, format_markdown, render, write_files
    from harness.reporting.page import write_page
    from harness.tracking.links import run_links

    ledger, now, rendered, faulty = Ledger(runs), DataNow(data), [], []
    say = partial(click.echo, err=printed == "json")  # a program reads what is printed
    words = reports or sorted(declarations("reports"), key=_place)
    for word in words:
        try:
            each = render(word, ledger, smoke=smoke, now=now)
        except HarnessError as error:
            if reports:
                raise
            faulty.append(word)
            say(f"{word}: not written: {error}")
            continue
        files = write_files(each, out, style)
        rendered.append(each)
        if printed == "json":
            print(format_json(each))
        if reports:
            if printed == "markdown":
                print(format_markdown(each))
            say("written: " + " ".join(str(file) for file in files))
        else:
            done = sum(run.state == "done" for run in each.runs)
            say(f"{each.report.name}: {done} of {len(each.runs)} runs finished: {each.report.title}")
    if rendered:
        name = rendered[0].report.name if len(reports) == 1 else "index"  # one report leaves the page of all alone
        page = write_page(rendered, out, links=run_links(runs), name=name)
        say(f"page: {page}" if reports else f"written to {out}; page: {page}")
    if faulty:
        raise HarnessError(
            f"{len(faulty)} of {len(words)} reports are not written: {', '.join(faulty)}; the lines above say why"
        )

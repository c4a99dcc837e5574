"""`harness report`: tables and figures over finished runs."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options

if TYPE_CHECKING:
    from harness.ledger import Ledger
    from harness.ledger.comparable import Now
    from harness.printing.layout import Style


def _place(name: str) -> tuple[int, str]:
    """Tables, then figures, then what the paper does not have."""
    first = ("table", "fig")
    return next((number for number, prefix in enumerate(first) if name.startswith(prefix)), len(first)), name


@click.command()
@click.argument("reports", nargs=-1, metavar="[REPORT]...", shell_complete=options.complete_names("reports"))
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
@click.option(
    "--results", type=click.Path(path_type=Path, dir_okay=False),
    help="Take the figures from this file of `harness results collect` in place of --runs: no run need be here.",
)  # fmt: skip
def command(
    reports: tuple[str, ...],
    runs: Path,
    data: Path,
    out: Path,
    printed: str,
    style: "Style",
    smoke: bool,
    results: Path | None,
) -> None:
    """Print each REPORT (a name in reports/ or a .toml file) as Markdown, and write it as Markdown, LaTeX, CSV and
    JSON, its figures as PNG, SVG and PDF. Without a name, write all of reports/.

    OUT/index.html shows on one page all the reports of reports/ that have been written to OUT. What is not trained yet
    shows as missing, with the command that trains it. Runs that were trained on other data than --data holds now are
    left out and counted in a note.
    """
    from harness.data.now import DataNow
    from harness.ledger import Ledger
    from harness.ledger.comparable import Nothing
    from harness.tracking.links import run_links

    write = partial(_write, reports, out=out, printed=printed, style=style, smoke=smoke)
    if results is None:
        write(Ledger(runs), DataNow(data), links=partial(run_links, runs), others=True)
        return
    from harness.sharing.results import as_ledgers

    with as_ledgers([results]) as contributed:
        write(Ledger(contributed[0].cell.folder.parent), Nothing(), links=dict, others=False)


def _write(
    reports: tuple[str, ...],
    ledger: "Ledger",
    now: "Now",
    *,
    out: Path,
    printed: str,
    style: "Style",
    smoke: bool,
    links: "Callable[[], Mapping[str, str]]",
    others: bool,
) -> None:
    """others: the page has also those reports whose files lie in `out` from earlier calls."""
    from harness.errors import HarnessError
    from harness.grids import declarations, find
    from harness.printing.numbers import count
    from harness.reporting import format_json, format_markdown, render, write_files
    from harness.reporting.page import write_page

    rendered, faulty = [], []
    say = partial(click.echo, err=printed == "json")  # a program reads what is printed
    words = reports or sorted(declarations("reports"), key=_place)
    for word in reports:
        find(word, "reports")  # a name that is none is told before anything is written
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
            say(f"{each.report.name}: {done} of {count(len(each.runs), 'run')} finished: {each.report.title}")
    if rendered:
        if others:
            names = {each.report.name for each in rendered}
            for word in sorted(declarations("reports"), key=_place):
                name = f"{word.replace('/', '-')}{'-smoke' if smoke else ''}"
                if name not in names and (out / f"{name}.md").exists():
                    with suppress(HarnessError):  # this call is about others
                        rendered.append(render(word, ledger, smoke=smoke, now=now))
            rendered.sort(key=lambda each: _place(each.report.name))
        page = write_page(rendered, out, links=links())
        say(f"page: {page}" if reports else f"written to {out}; page: {page}")
    if faulty:
        failed = ", ".join(faulty)
        raise HarnessError(
            f"{len(faulty)} of {count(len(words), 'report')} could not be written: {failed}; the lines above say why"
        )

"""`harness report`: tables and figures over finished runs."""

from pathlib import Path

import click

from harness.cli import options


@click.command()
@click.argument("report")
@options.runs
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("out"), show_default=True,
    help="Folder of the files.",
)  # fmt: skip
@options.smoke
def command(report: str, runs: Path, out: Path, smoke: bool) -> None:
    """Print REPORT (a name in reports/ or a .toml file) as Markdown, and write it with LaTeX, CSV, PNG and
    SVG.

    What is not trained yet shows as missing, with the command that trains it.
    """
    from harness.reporting import write_report

    text, files = write_report(report, runs=runs, out=out, smoke=smoke)
    print(text)
    print("written: " + " ".join(str(file) for file in files))

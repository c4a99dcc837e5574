"""`harness results`: figures of finished runs as a file to commit, and the leaderboard of all such files."""

from pathlib import Path

import click

from harness.cli import options
from harness.printing.numbers import count

files = click.argument("paths", nargs=-1, metavar="[FILE|FOLDER]...", type=click.Path(path_type=Path))


@click.group("results", help="Collect figures into a file to commit, and render the leaderboard of all such files.")
def command() -> None:
    pass


@command.command("collect")
@click.argument("grids", nargs=-1, metavar="[GRID]...")
@click.option("--by", required=True, metavar="NAME", help="Who trained them: a name to be printed.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True,
    help="The file, e.g. reports/results/NAME.json. What it held before is replaced.",
)  # fmt: skip
@options.runs
def collect_(grids: tuple[str, ...], by: str, out: Path, runs: Path) -> None:
    """Write the figures of all finished runs, or those of GRIDs (names in experiments/ or .toml files), to a file.

    It holds settings, figures, versions and the device, and neither host nor paths.
    """
    from harness.grids import load_grid
    from harness.ledger import Ledger
    from harness.sharing.results import collect, write_results

    wanted = {cell.fingerprint for grid in grids for cell in load_grid(grid).cells}
    cells = [
        cell
        for cell in Ledger(runs).cells()
        if not grids or cell.fingerprint in wanted or wanted.issuperset(cell.spec.get("members", "?"))
    ]
    results = collect(cells, by)
    write_results(results, out)
    print(f"{out}: {count(len(results.entries), 'run')} by {results.by}; `harness results page {out}` shows them")


@command.command("check")
@files
def check(paths: tuple[Path, ...]) -> None:
    """Say whether each FILE, or each of a FOLDER, is whole and holds; without one, those of reports/results."""
    from harness.sharing.results import files_of, read_results

    for file in files_of(paths):
        results = read_results(file)
        print(f"{file}: {count(len(results.entries), 'run')} by {results.by}")


@command.command("page")
@files
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("out"), show_default=True,
    help="The folder to write leaderboard.html and leaderboard.md to.",
)  # fmt: skip
def page(paths: tuple[Path, ...], out: Path) -> None:
    """Print the leaderboard of the FILEs, or of reports/results, and write it as a page."""
    from harness.files import write_atomic
    from harness.reporting import format_markdown
    from harness.reporting.page import write_page
    from harness.sharing.leaderboard import render_leaderboard
    from harness.sharing.results import as_ledgers, files_of

    with as_ledgers(files_of(paths)) as contributed:
        tables = render_leaderboard(contributed)
        text = "\n".join(map(format_markdown, tables))
        written = write_page(tables, out, links={}, name="leaderboard", title="Leaderboard", figures_alone=True)
    write_atomic(out / "leaderboard.md", text.encode())
    print(text)
    print(f"page: {written}")

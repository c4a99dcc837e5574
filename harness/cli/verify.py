"""`harness verify`: are our numbers those of the official implementations?"""

from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.pass_context
def command(context: click.Context, folder: Path) -> None:
    """Compare our numbers with the golden values in FOLDER, and print the largest deviation of each file.

    Exit status 1 if a deviation is above its tolerance, 2 if a file cannot be used.
    """
    from harness.parity.golden import verify

    failed = False
    print(f"{'file':22} comparisons  largest deviation  tolerance")
    for report in verify(folder):
        verdict = "ok" if report.passed else f"FAILED, worst is {report.worst.what}"
        numbers = f"{report.comparisons:11} {report.worst.deviation:18.2e} {report.tolerance:10g}"
        print(f"{report.file:22} {numbers}  {verdict}", flush=True)
        failed = failed or not report.passed
    context.exit(1 if failed else 0)

"""`harness theory`: the paper's robustness claims put to the test."""

from pathlib import Path

import click

SMOKE_TRIALS = 2


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("out"), show_default=True,
    help="The folder to write to.",
)  # fmt: skip
@click.option(
    "--trials", type=click.IntRange(min=1), default=20, show_default=True,
    help="How many random classes for each transform and number of candidates; 500 times as many labels.",
)  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Seed of the simulation.")
@click.option("--smoke", is_flag=True, help=f"Run {SMOKE_TRIALS} trials, whatever --trials says.")
def command(out: Path, trials: int, seed: int, smoke: bool) -> int:
    """Test the paper's robustness claims by simulation.

    Measures what uniform noise does to the minimiser of the complementary loss, and what momentum does to the labels,
    and compares it with the bound and the closed forms that docs/theory.md derives. Prints a table, and writes
    theory.md, theory.csv and two figures. Exit status 1 if a claim does not hold.
    """
    from harness.reporting.theory import write_theory
    from harness.theory import put_to_the_test

    cases = put_to_the_test(SMOKE_TRIALS if smoke else trials, seed)
    text, files = write_theory(cases, out)
    print(text)
    print("written: " + " ".join(str(file) for file in files))
    return int(not all(case.holds for case in cases if case.claimed))

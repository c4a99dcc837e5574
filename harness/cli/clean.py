"""`harness clean`: the wrong pairs out of one's own pictures and captions."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.clean.settings import RANKINGS
from harness.cli import options
from harness.errors import HarnessError
from harness.printing.numbers import count

if TYPE_CHECKING:
    from harness.clean.outputs import Written


@click.command()
@click.option("--images", type=click.Path(path_type=Path), help="Folder, zip archive or tar of the pictures.")
@click.option(
    "--captions", type=click.Path(path_type=Path),
    help="The file that pairs pictures with captions; any that `data build` reads.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("out/clean"), show_default=True,
    help="Folder of all that is made; the same command continues there.",
)  # fmt: skip
@click.option(
    "--ranking", type=click.Choice(RANKINGS), default="osa", show_default=True,
    help="Whose judgement ranks the pairs: a method that is trained on them, or a CLIP as it is.",
)  # fmt: skip
@click.option(
    "--compare", type=click.Choice(RANKINGS), multiple=True,
    help="Another ranking, for a table of what each finds of the planted swaps. May be repeated.",
)  # fmt: skip
@click.option(
    "--cut", type=click.FloatRange(0, 1), default=0.5, show_default=True,
    help="Drop pairs whose probability of being wrong is above this.",
)  # fmt: skip
@click.option("--columns", is_flag=True, help="Put scores and decisions into the cleaned and dropped files too.")
@click.option(
    "--encoder", default="efficientnet-lite0", show_default=True,
    help="What makes features of the pictures: this one, offline, or a transformers vision model, CLIP and SigLIP too.",
)  # fmt: skip
@click.option("--clip", metavar="MODEL", help="The CLIP of --ranking clip: hub name or local folder.")
@click.option(
    "--tokenizer", default="words", show_default=True,
    help="words; characters, for languages without spaces; ids; or a transformers tokenizer.",
)  # fmt: skip
@click.option(
    "--top", type=click.IntRange(1, 2000), default=200, show_default=True, help="Pairs on the page, the lowest ones."
)
@click.option("--apply", "decisions", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write the files anew after the marks that the page has given.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Of the planted swaps and the trainings.")
@click.option("--jobs", "-j", type=click.IntRange(min=1), help="Trainings at once.  [default: one a core]")
@options.budget
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
def command(
    images: Path | None, captions: Path | None, out: Path, columns: bool, top: int, decisions: Path | None, **given: Any
) -> None:
    """Find the wrong pairs among your own pictures and captions, for example

    harness clean --images photos/ --captions captions.csv

    Networks are trained on the pairs themselves, in copies in which some are swapped on purpose: what is found of these
    says how much to believe. Written are cleaned.* and dropped.* in your own format, scores.csv with every pair's
    probability of being wrong, findings.csv (duplicates, damaged pictures, captions that are file names, ...), and
    index.html, on which pairs are marked right or wrong by hand; --apply takes the marks back.
    """
    from harness.clean.clean import Task, clean
    from harness.clean.outputs import apply_decisions, decide, write_all
    from harness.clean.page import render
    from harness.files import write_atomic

    if decisions is not None:
        _show(apply_decisions(out, decisions))
        return
    if captions is None:
        raise HarnessError(
            "harness clean: --captions is missing; accepted: --images DIR|ZIP --captions FILE, or --apply FILE --out "
            "DIR"
        )
    found = clean(Task(captions=captions, out=out, images=images, **given), click.echo)
    if found is None:
        click.echo(f"{out}: the budget is spent before every training has ended; the same command continues")
        return
    records = decide(found)
    written = write_all(found, records, columns=columns)
    page = out / "index.html"
    write_atomic(page, render(found, records, written.summary, top).encode())
    written.files.append(page)
    _show(written)


def _show(written: "Written") -> None:
    from harness.clean.clean import UNKNOWN
    from harness.clean.page import compare_table
    from harness.printing.markdown import markdown
    from harness.printing.numbers import percent
    from harness.printing.table import Section

    summary = written.summary
    share, cut = summary["share_wrong"], summary["at_the_cut"]
    for kind, number in summary["noticed"].items():
        click.echo(f"noticed: {kind}: {number:,}")
    if len(summary["compared"]) > 1:
        click.echo(f"\n{markdown(Section('Rankings, by the swaps that were planted', [compare_table(summary)]))}\n")
    if not summary["doubt"]:
        click.echo(
            f"wrong pairs: {percent(share['value'])} by estimate ({percent(share['low'])} to "
            f"{percent(share['high'])}), as far as they look like swapped ones"
        )
    if summary["doubt"]:
        click.echo(f"nothing is dropped as wrong, and no share or precision promised: {summary['doubt']}")
    elif not cut["dropped"]:
        click.echo(
            f"no pair is above the cut, a probability of {summary['cut']:g}; the lowest pairs are on the page, for a "
            "person to look at"
        )
    else:
        click.echo(
            f"cut at a probability of {summary['cut']:g}: expected precision {percent(cut['precision'])}, recall "
            f"{percent(cut['recall'])}; of the planted swaps {percent(cut['found'])} are found; look at "
            f"{cut['look_at']:,} dropped pairs to know the precision within 5 points"
        )
    if unknown := summary["noticed"].get(UNKNOWN):
        click.echo(
            f"not judged: {count(unknown, 'pair')} whose caption has no word that occurs "
            f"{summary['settings']['minimum_count']} times, kept; --tokenizer characters, or a transformers tokenizer, "
            "reads parts of words"
        )
    for note in summary["notes"]:
        click.echo(f"note: {note}")
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in summary["reasons"].items()) or "none"
    click.echo(
        f"kept {summary['kept']:,} of {count(summary['pairs'], 'pair')}, dropped {summary['dropped']:,} ({reasons})"
    )
    click.echo(f"written: {' '.join(map(str, written.files))}")

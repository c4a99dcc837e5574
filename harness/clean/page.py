"""The gallery of a cleaning: pairs to be marked right or wrong, and the precision that the marks tell."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.audit.thumbnails import Thumbnails, small
from harness.clean.clean import Cleaned
from harness.printing.html import render_html
from harness.printing.numbers import percent
from harness.printing.table import Table, plain
from harness.seeds import rng_for

SIDE, SMALL_SIDE = 220, 110  # pixels of the pictures
MOST_SAMPLED = 150
NONE = "–"  # a figure that cannot be promised


def sample_of(records: Sequence[dict[str, Any]], size: int, seed: int) -> list[int]:
    """Rows (from 1) drawn at random from the pairs that are dropped as wrong, in random order."""
    dropped = [record["row"] for record in records if record["reason"] == "wrong pair"]
    order = rng_for("clean", "sample", seed).permutation(len(dropped))
    return [dropped[place] for place in order[: min(size, MOST_SAMPLED)]]


def render(found: Cleaned, records: Sequence[dict[str, Any]], summary: dict[str, Any], top: int) -> str:
    """The page: a random sample of what is dropped, which tells the precision, and the `top` lowest pairs."""
    sample = sample_of(records, summary["at_the_cut"]["look_at"], found.task.seed)
    ranked = sorted((record for record in records if record["rank"] != ""), key=lambda record: int(record["rank"]))
    shown = list(dict.fromkeys([*sample, *(record["row"] for record in ranked[:top])]))
    drawn = Thumbnails(lambda image, side: small(found.pictures, records[image]["image"], side), "the pictures")
    others = Thumbnails(lambda image, side: small(found.pictures, records[image]["other_picture"], side), "")
    return render_html(
        Path(__file__).parent / "page.html.jinja",
        title=f"Pairs of {found.task.captions.name} that look wrong",
        summary=summary,
        quality=compare_table(summary) if len(summary["compared"]) > 1 else None,
        cards=_cards(records, shown, set(sample), drawn, others),
        noticed=summary["noticed"],
        sampled=len(sample),
        notes=found.notes,
    )


def compare_table(summary: dict[str, Any]) -> Table:
    """What each ranking finds of the planted swaps."""
    rows = []
    for name, row in summary["compared"].items():
        share = row["share_wrong"]
        rows.append(
            [
                name,
                *((NONE,) * 3 if row["doubt"] else map(percent, (row["found"], row["precision"], row["dropped"]))),
                f"{row['auc']:.3f}",
                "not known" if row["doubt"]
                else f"{percent(share['value'])} ({percent(share['low'])} to {percent(share['high'])})",
            ]
        )  # fmt: skip
    head = [
        "ranking",
        "planted swaps found",
        "expected precision",
        "dropped",
        "AUC of the swaps",
        "share of wrong pairs",
    ]
    return plain(head, rows, numbers=(1, 2, 3, 4))


def _cards(
    records: Sequence[dict[str, Any]], shown: Sequence[int], sample: set[int], drawn: Thumbnails, others: Thumbnails
) -> Iterator[dict[str, Any]]:
    for row in shown:
        record = records[row - 1]
        yield {
            **record,
            "chance": percent(float(record["probability_wrong"])) if record["probability_wrong"] else "",
            "sampled": row in sample,
            "picture": drawn(row - 1, SIDE),
            "other": others(row - 1, SMALL_SIDE) if record["other_picture"] else None,
        }

"""The table of all pairs, as CSV."""

from collections.abc import Iterator

from harness.audit.alternatives import Alternatives
from harness.audit.evidence import Evidence
from harness.audit.ranking import Ranking
from harness.printing.sheet import sheet

COLUMNS = (
    "rank", "pair", "image", "caption", "label", "match", "similarity", "clean", "true_image", "original_caption",
    "other_picture", "other_picture_similarity", "other_caption_pair", "other_caption", "other_caption_similarity",
)  # fmt: skip


def pairs_csv(evidence: Evidence, ranking: Ranking, found: Alternatives) -> bytes:
    """Every training pair by rank. Text that a spreadsheet would compute begins with an apostrophe.

    Empty where nothing is known: `label` without labels, `clean` and `true_image` where the noise is real or none,
    `original_caption` where noise left it alone, alternatives for pairs without a card.
    """
    return sheet(COLUMNS, _rows(evidence, ranking, found))


def _rows(evidence: Evidence, ranking: Ranking, found: Alternatives) -> Iterator[list[object]]:
    split, pairs = evidence.pairs.split, evidence.pairs
    row_of = {int(pair): row for row, pair in enumerate(found.shown)}
    for rank, pair in enumerate(ranking.order.tolist(), start=1):
        line: list[object] = [
            rank, pair, split.image_ids[pairs.paired_image[pair]], split.texts[pair],
            "" if evidence.label is None else f"{evidence.label[pair]:.6g}",
            f"{evidence.match[pair]:.6g}", f"{evidence.similarity[pair]:.6g}",
            int(pairs.clean[pair]) if evidence.known else "",
            split.image_ids[evidence.true_image[pair]] if evidence.known else "",
            evidence.original(pair) or "",
        ]  # fmt: skip
        if pair in row_of:
            row = row_of[pair]
            picture, other = int(found.picture[row]), int(found.caption[row])
            line += [split.image_ids[picture], f"{found.picture_similarity[row]:.6g}"] if picture >= 0 else ["", ""]
            line += [other, split.texts[other], f"{found.caption_similarity[row]:.6g}"] if other >= 0 else ["", "", ""]
        yield line + [""] * (len(COLUMNS) - len(line))

"""What a user gets: their file without the wrong pairs and with those alone, all scores, what was noticed, a sum-up."""

import csv
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.clean.clean import UNKNOWN, UNUSABLE, Cleaned
from harness.clean.estimates import Cut
from harness.clean.verdict import ranks
from harness.data.formats import CaptionFile, read_captions
from harness.errors import HarnessError
from harness.files import read_json, write_atomic, write_json
from harness.printing.sheet import sheet

COLUMNS = (
    "row", "where", "image", "caption", "decision", "reason", "rank", "probability_wrong", "score", "other_picture",
    "other_caption", "noticed",
)  # fmt: skip
OWN_COLUMNS = ("probability_wrong", "rank", "decision", "other_picture", "other_caption")  # with --columns
MARKS = {"wrong": "dropped", "right": "kept"}


@dataclass(frozen=True)
class Written:
    """What lies in the folder now.

    Attributes:
        summary: plain values, as in summary.json.
        files: what was written.
    """

    summary: dict[str, Any]
    files: list[Path]


def decide(found: Cleaned) -> list[dict[str, Any]]:
    """A record for every row of the user's file, by `COLUMNS`."""
    noticed: dict[int, list[str]] = {}
    of_image: dict[str, list[str]] = {}
    for finding in found.findings:
        if finding.row is None:
            of_image.setdefault(finding.image, []).append(finding.kind)
        else:
            noticed.setdefault(finding.row, []).append(finding.kind)
    split = found.whole.split("train")
    place = ranks(found.verdict)
    doubt = found.verdict.doubt
    pair_of = {int(row): pair for pair, row in enumerate(found.usable)}
    records = []
    for number, row in enumerate(found.file.rows):
        kinds = [*noticed.get(number, ()), *dict.fromkeys(of_image.get(row.image, ()))]
        record: dict[str, Any] = dict.fromkeys(COLUMNS, "") | {
            "row": number + 1, "where": row.where, "image": row.image, "caption": row.caption, "decision": "kept",
            "noticed": "; ".join(kinds),
        }  # fmt: skip
        pair = pair_of.get(number)
        if pair is None:
            fault = next((kind for kind in kinds if kind in UNUSABLE), "")
            decision = {"decision": "dropped", "reason": fault} if fault else {"reason": f"not judged: {UNKNOWN}"}
            records.append(record | decision)
            continue
        chance = float(found.verdict.probability[pair])
        wrong = chance > found.task.cut and not doubt
        picture, other = int(found.alternatives.picture[pair]), int(found.alternatives.caption[pair])
        records.append(
            record
            | {
                "decision": "dropped" if wrong else "kept", "reason": "wrong pair" if wrong else "",
                "rank": int(place[pair]), "probability_wrong": "" if doubt else f"{chance:.4f}",
                "score": f"{found.verdict.score[pair]:.4f}",
                "other_picture": split.image_ids[picture] if picture >= 0 else "",
                "other_caption": split.texts[other] if other >= 0 else "",
            }
        )  # fmt: skip
    return records


def write_all(found: Cleaned, records: list[dict[str, Any]], *, columns: bool) -> Written:
    """Everything but the page."""
    out = found.task.out
    cut = found.verdict.cut(found.task.cut)
    summary = {
        "captions": str(found.task.captions.absolute()),
        "sha256": found.file.sha256(),
        "pairs": len(records),
        "judged": len(found.usable),
        "ranking": found.task.ranking,
        "cut": found.task.cut,
        "columns": columns,
        "doubt": found.verdict.doubt,
        "share_wrong": asdict(found.verdict.share),
        "at_the_cut": asdict(cut),
        "auc_of_planted_swaps": found.verdict.auc,
        "language": found.language,
        "noticed": dict(Counter(finding.kind for finding in found.findings).most_common()),
        "settings": asdict(found.settings),
        "compared": {name: _compare(found, name) for name in found.compared},
        "notes": found.notes,
        "marks": {},
    }
    files = [out / "findings.csv"]
    write_atomic(files[0], sheet(("kind", "row", "image", "detail"), [
        [finding.kind, "" if finding.row is None else finding.row + 1, finding.image, finding.detail]
        for finding in found.findings
    ]))  # fmt: skip
    return _write(out, found.file, records, summary, files)


def apply_decisions(out: Path, decisions: Path) -> Written:
    """Write cleaned and dropped anew after the marks of a person; they count more than any probability.

    Raises:
        HarnessError: there is no finished cleaning in `out`, the captions are others now, or a mark is of no pair.
    """
    summary = read_json(out / "summary.json")
    if summary is None or not (out / "scores.csv").is_file():
        raise HarnessError(f"{out}: no finished cleaning; accepted: the --out of one; run `harness clean` there first")
    captions = Path(summary["captions"])
    file = read_captions(captions)
    if file.sha256() != summary["sha256"]:
        raise HarnessError(
            f"{captions}: is not the file that was cleaned; accepted: that one; bring it back, or clean anew"
        )
    with open(out / "scores.csv", encoding="utf-8", newline="") as stream:
        records: list[dict[str, Any]] = [dict(record) for record in csv.DictReader(stream)]
    for record in records:
        record["row"] = int(record["row"])
        for key in ("image", "caption", "other_picture", "other_caption"):
            record[key] = record[key].removeprefix("'") if record[key][1:2] in tuple("=+-@\t\r") else record[key]
    marks = _read_marks(decisions, records)
    for row, mark in marks.items():
        records[row - 1] |= {"decision": MARKS[mark], "reason": f"marked {mark}"}
    summary["marks"] = {"file": str(decisions), **Counter(marks.values())}
    return _write(out, file, records, summary, [])


def _read_marks(path: Path, records: Sequence[dict[str, Any]]) -> dict[int, str]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            if reader.fieldnames is None or not {"row", "mark"} <= set(reader.fieldnames):
                raise HarnessError(f"{path}: no columns row and mark; accepted: the file that the page's button gives")
            lines = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise HarnessError(f"{path}: not readable ({error}); accepted: the file that the page's button gives") from None
    marks = {}
    for number, line in enumerate(lines, start=2):
        row, mark = (line["row"] or "").strip(), (line["mark"] or "").strip().lower()
        if not mark:
            continue
        if not row.isdigit() or not 1 <= int(row) <= len(records) or mark not in MARKS:
            raise HarnessError(
                f"{path}, line {number}: row {row!r}, mark {mark!r}; accepted: a row from 1 to {len(records)}, marked "
                "right or wrong"
            )
        image = line.get("image")
        if image and image.lstrip("'") != records[int(row) - 1]["image"].lstrip("'"):
            raise HarnessError(
                f"{path}, line {number}: row {row} is of {image!r} there, here of {records[int(row) - 1]['image']!r}; "
                "accepted: marks of this cleaning"
            )
        marks[int(row)] = mark
    return marks


def _write(
    out: Path, file: CaptionFile, records: list[dict[str, Any]], summary: dict[str, Any], files: list[Path]
) -> Written:
    kept = [record["row"] - 1 for record in records if record["decision"] == "kept"]
    dropped = [record["row"] - 1 for record in records if record["decision"] == "dropped"]
    columns = {name: [record[name] for record in records] for name in OWN_COLUMNS} if summary["columns"] else None
    targets = [out / f"cleaned{file.suffix}", out / f"dropped{file.suffix}"]
    for target, rows in zip(targets, (kept, dropped), strict=True):
        if target.is_dir():  # texts of an earlier decision
            shutil.rmtree(target)
        file.write(target, rows, columns)
    summary |= {"kept": len(kept), "dropped": len(dropped),
                "reasons": dict(Counter(r["reason"] for r in records if r["decision"] == "dropped"))}  # fmt: skip
    write_atomic(out / "scores.csv", sheet(COLUMNS, [[record[name] for name in COLUMNS] for record in records]))
    write_json(out / "summary.json", summary)
    return Written(summary, [*targets, out / "scores.csv", *files, out / "summary.json"])


def _compare(found: Cleaned, name: str) -> dict[str, Any]:
    """A row of the table of rankings."""
    verdict = found.compared[name]
    cut: Cut = verdict.cut(found.task.cut)
    return {
        "auc": verdict.auc, "found": cut.found, "precision": cut.precision, "recall": cut.recall,
        "dropped": cut.dropped / len(found.usable), "share_wrong": asdict(verdict.share), "doubt": verdict.doubt,
    }  # fmt: skip

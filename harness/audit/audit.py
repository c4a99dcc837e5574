"""`harness audit` as a function: one finished run in, three files out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.audit.alternatives import Alternatives, best_alternatives
from harness.audit.cards import cards
from harness.audit.detection import Detection, detect
from harness.audit.evidence import Evidence, gather
from harness.audit.files import pairs_csv
from harness.audit.page import render
from harness.audit.ranking import Ranking, rank, wrong_calls
from harness.audit.thumbnails import thumbnails
from harness.errors import HarnessError
from harness.evaluation.correspondence import label_report
from harness.files import write_atomic, write_json
from harness.ledger import Cell
from harness.ledger.command import made_by
from harness.printing.numbers import count
from harness.spec import RunSpec
from harness.training.data import open_for
from harness.training.machine import Machine

WRONG_CALLS = 50  # true pairs ranked low that get a card, wherever they stand: what the labels mistake


@dataclass(frozen=True)
class Audit:
    """What came out.

    Attributes:
        summary: plain values, as in summary.json: the run, the rule, `pairs`, `top`; `detection` (a table of
            `Detection`) and `label_auc`, or None with the reason in `unknown`; `own_picture` and `own_caption`, how
            often the best alternative was the true partner.
        detection: quality of the ranking, None where the truth is not known.
        notes: what a reader should know.
        files: index.html, pairs.csv, summary.json.
    """

    summary: dict[str, Any]
    detection: Detection | None
    notes: list[str]
    files: list[Path]


def write_audit(
    cell: Cell, data: Path, out: Path, *, top: int, images: Path | None, machine: Machine,
    say: Callable[[str], None] = lambda _: None,
) -> Audit:  # fmt: skip
    """Rank the training pairs of a finished run and write the result to `out/audit-<fingerprint>/`.

    Args:
        cell: the run.
        data: folder of the data sets.
        out: where the folder is made; files of an earlier audit of the run are replaced.
        top: how many of the lowest pairs get alternatives and a card; where the truth is known, so do the first
            `WRONG_CALLS` true pairs that the ranking takes for wrong ones.
        images: folder or zip archive of the pictures, by image id.
        machine: its device is used.
        say: called with a sentence on what takes long.

    Raises:
        HarnessError: the run is not finished or an ensemble, its data are others now, or the pictures cannot be read.
    """
    run = finished_run(cell)
    dataset = open_for(run, data)
    small = thumbnails(dataset, images)
    device = machine.torch_device()
    evidence = gather(cell, run, dataset, device)
    ranking = rank(evidence.label, evidence.match, evidence.similarity)
    shown = ranking.order[:top]
    if evidence.known:
        called = wrong_calls(ranking, evidence.pairs.clean, WRONG_CALLS)
        shown = np.concatenate([shown, called[~np.isin(called, shown)]])
    split = evidence.pairs.split
    others = f"{count(len(split.regions), 'picture')} and {count(len(split.captions), 'caption')}"
    say(f"comparing {count(len(shown), 'pair')} with {others}")
    found = best_alternatives(evidence.backbones, split, evidence.pairs.paired_image, shown, device)

    detection = detect(~evidence.pairs.clean[ranking.order], ranking.ties) if evidence.known else None
    summary = _summary(evidence, ranking, found, detection, min(top, len(evidence.pairs)))
    made = list(cards(evidence, ranking, found, small))
    notes = evidence.notes + _about_pictures(small.source, len(small.missing), small.found, run.dataset)

    folder = out / f"audit-{cell.fingerprint[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / name for name in ("index.html", "pairs.csv", "summary.json")]
    write_atomic(files[0], render(summary, made, notes).encode())
    write_atomic(files[1], pairs_csv(evidence, ranking, found))
    write_json(files[2], summary)
    return Audit(summary, detection, notes, files)


def finished_run(cell: Cell) -> RunSpec:
    """What a cell trained.

    Raises:
        HarnessError: it is not finished, or an ensemble.
    """
    state = cell.state()
    if state != "done":
        raise HarnessError(
            f"{cell.folder}: {cell.name} is {state}; an audit needs a finished run: `{made_by(cell.spec)}` "
            "trains what is missing"
        )
    members = (cell.result() or {}).get("members")
    if members:
        raise HarnessError(
            f"{cell.folder}: {cell.name} is an ensemble and has no labels of its own; audit one of its members: "
            f"{', '.join(members)}"
        )
    return RunSpec.from_table(cell.spec["run"])


def _summary(
    evidence: Evidence, ranking: Ranking, found: Alternatives, detection: Detection | None, top: int
) -> dict[str, Any]:
    run, pairs = evidence.run, evidence.pairs
    rate = run.noise.parameters.get("rate")
    labels = None if evidence.label is None or detection is None else label_report(evidence.label, pairs.clean)
    return {
        "fingerprint": evidence.cell.fingerprint,
        "run": evidence.cell.name,
        "dataset": run.dataset,
        "noise": run.noise.name + (f" {rate:g}" if isinstance(rate, int | float) else ""),
        "method": run.method.name,
        "backbone": run.backbone.name,
        "seed": run.seed,
        "rule": ranking.rule,
        "pairs": len(pairs),
        "top": top,
        "unknown": evidence.unknown,
        "detection": None if detection is None else detection.table(),
        "label_auc": None if labels is None else labels["labels/auc"],
        "own_picture": _own_picture(evidence, found, top) if evidence.known else None,
        "own_caption": _own_caption(evidence, found, top) if evidence.known else None,
    }


def _own_picture(evidence: Evidence, found: Alternatives, top: int) -> dict[str, Any] | None:
    """Of the `top` captions those with a foreign picture: how often the best other picture is their own."""
    shown, picture = found.shown[:top], found.picture[:top]
    own = evidence.true_image[shown]
    chance = 1 / max(len(evidence.pairs.split.regions) - 1, 1)
    words = (
        "Low pairs whose caption is another picture's: {of}; the best other picture is the caption's own for {found}"
    )
    return _found_again(picture == own, own != evidence.pairs.paired_image[shown], words, chance)


def _own_caption(evidence: Evidence, found: Alternatives, top: int) -> dict[str, Any] | None:
    """Of the `top` pictures those that lost captions to others: how often the best from elsewhere is one of these."""
    paired, true = evidence.pairs.paired_image, evidence.true_image
    pictures, caption = paired[found.shown[:top]], found.caption[:top]
    lost = np.bincount(true[paired != true], minlength=len(evidence.pairs.split.regions))[pictures]  # captions
    asked = (lost > 0) & (caption >= 0)
    chance = float((lost[asked] / len(paired)).mean()) if asked.any() else 0.0
    words = "Low pairs whose picture lost a caption: {of}; the best caption from elsewhere was its own for {found}"
    return _found_again(true[caption] == pictures, asked, words, chance)


def _found_again(hits: NDArray[np.bool_], asked: NDArray[np.bool_], words: str, chance: float) -> dict[str, Any] | None:
    total = int(asked.sum())
    if not total:
        return None
    number = int(hits[asked].sum())
    share = number / total
    said = words.format(of=total, found=number) + f" ({100 * share:.0f} %, chance {100 * chance:.2f} %)"
    return {"found": number, "of": total, "share": share, "chance": chance, "words": said}


def _about_pictures(source: str, missing: int, found: int, dataset: str) -> list[str]:
    if not source:
        return [f"The pictures of {dataset} are not among its features: --images DIR (or a zip archive) shows them."]
    if missing and not found:
        return [f"None of the pictures is in {source} under its image id: see the column image of pairs.csv."]
    return [f"{count(missing, 'picture')} could not be found or read in {source}."] if missing else []

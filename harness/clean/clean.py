"""`harness clean` as a function: pictures and captions in, the same file without its wrong pairs out.

The way: look at every picture and caption (look.py), make features (harness/data/build), make training copies with
swaps planted in them (copies.py), train (the harness's own trainer and ledger, so a kill loses nothing), judge
(verdict.py), write (outputs.py, page.py). All that is made on the way lies in OUT/work, and the same command uses it.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api.running import run_grid
from harness.audit.alternatives import Alternatives, best_alternatives
from harness.backbones.weights import load_networks
from harness.clean.copies import Copy, known_pairs, plan_copies, write_copy, write_vocabulary
from harness.clean.look import (
    Finding,
    find_in_pictures,
    find_in_rows,
    find_near_features,
    find_other_languages,
    look_at_pictures,
)  # fmt: skip
from harness.clean.settings import Settings, method_tables, settings_for
from harness.clean.verdict import Verdict, judge
from harness.data import Dataset, open_dataset
from harness.data.build import Recipe, build_manifest, source_of
from harness.data.build.captions import Item, Manifest
from harness.data.build.pictures import Pictures
from harness.data.cards import DatasetCard
from harness.data.descriptors import image_descriptors
from harness.data.formats import CaptionFile, read_captions
from harness.errors import HarnessError
from harness.files import read_json, write_atomic, write_json
from harness.grids import load_grid
from harness.grids.toml import to_toml
from harness.ledger import Cell
from harness.ledger.collapse import collapsed_labels
from harness.printing.numbers import count
from harness.training.data import open_for
from harness.training.machine import Machine

WHOLE = "all"  # name of the data set with every usable pair
UNUSABLE = ("no picture", "unreadable picture", "no caption")
UNKNOWN = "no known word"  # a caption that nothing can be learnt of
COPIES_FORMAT = 2  # of what lies in OUT/work; raised when the copies are made in another way
CLIP_PIXELS = 224
SAY_SECONDS = 10.0  # between lines on how far it is
Say = Callable[[str], None]


@dataclass(frozen=True)
class Task:
    """What is asked.

    Attributes:
        captions: a file or folder that harness/data/formats knows.
        images: a folder, zip archive or tar; None where the captions bring their pictures.
        out: folder of all that is made.
        ranking: whose match ranks the pairs, one of `settings.RANKINGS`.
        compare: further rankings, trained for the table alone.
        cut: probability of being wrong above which a pair is dropped.
        clip: the CLIP of the ranking `clip`.
        jobs: trainings at once; None: as many as there are cores.
        budget: seconds of training; None: until it is done.
    """

    captions: Path
    out: Path
    images: Path | None = None
    ranking: str = "osa"
    compare: Sequence[str] = ()
    cut: float = 0.5
    encoder: str = Recipe.encoder
    regions: int = 16
    clip: str | None = None
    tokenizer: str = "words"
    seed: int = 0
    jobs: int | None = None
    budget: float | None = None
    device: str = "auto"


@dataclass(frozen=True)
class Cleaned:
    """What was found; outputs.py writes it.

    Attributes:
        file: the user's captions.
        usable: (pairs,) int64, the rows of the file that could be judged.
        verdict, alternatives: of the usable pairs.
        findings: what was noticed besides.
        compared: ranking -> its verdict, the chosen one first.
        notes: what a reader should know.
    """

    task: Task
    file: CaptionFile
    pictures: Pictures
    usable: NDArray[np.int64]
    verdict: Verdict
    alternatives: Alternatives
    whole: Dataset
    findings: list[Finding]
    language: str
    settings: Settings
    compared: dict[str, Verdict]
    notes: list[str] = field(default_factory=list)


def clean(task: Task, say: Say) -> Cleaned | None:
    """Judge every pair; None where the budget was spent before, and the same call continues.

    Raises:
        HarnessError: anything wrong with the captions, the pictures, the settings or the disk, or a training failed.
    """
    file = read_captions(task.captions)
    say(f"{task.captions}: {len(file.rows):,} pairs, {file.kind}")
    work = task.out / "work"
    work.mkdir(parents=True, exist_ok=True)
    _refuse_other(task, file, work)
    pictures = Pictures(source_of(task.images, file))
    findings, language = _look(file, pictures, say)
    unusable = {finding.row for finding in findings if finding.kind in UNUSABLE}
    rows = [place for place in range(len(file.rows)) if place not in unusable]
    try:
        settings = settings_for(len({file.rows[place].image for place in rows}), len(rows))
    except HarnessError as error:
        why = Counter(finding.kind for finding in findings if finding.kind in UNUSABLE)
        told = ", ".join(f"{number:,} {kind}" for kind, number in why.items())
        raise HarnessError(f"{task.captions}: {error}" + (f"; left out: {told}" if told else "")) from None
    names = [task.ranking, *(name for name in task.compare if name != task.ranking)]
    tables = {name: method_tables(name, settings, task.clip) for name in names}
    whole, usable = _features(task, file, rows, pictures, "clip" in names, say)
    findings += find_near_features(whole.split("train").image_ids, image_descriptors(whole))
    write_vocabulary(whole.folder, whole, settings.minimum_count)
    whole = open_dataset(WHOLE, work / "data")  # with that vocabulary
    split = whole.split("train")
    known = np.ones(len(usable), dtype=bool) if task.ranking == "clip" else known_pairs(whole)
    findings += [
        Finding(UNKNOWN, int(row), file.rows[row].image, file.rows[row].caption[:80]) for row in usable[~known]
    ]
    settings = _settings_without(settings, split.image_of_caption[known], len(known), task)
    copies = plan_copies(split.image_of_caption, len(split.image_ids), settings, task.seed, known)
    for copy in copies:
        write_copy(copy, whole, work / "data", settings.minimum_count)
    notes: list[str] = []
    compared: dict[str, Verdict] = {}
    cells: list[Cell] = []
    for name in names:
        trained = _train(task, name, tables[name], copies, settings, work, notes, say)
        if trained is None:
            return None
        cells = cells or trained
        compared[name] = judge(list(zip(copies, trained, strict=True)), task.seed)
    say("comparing every pair with the other pictures and captions")
    alternatives = _alternatives(cells[0], whole, np.flatnonzero(known), task.device)
    return Cleaned(
        task, file, pictures, usable[known], compared[task.ranking], alternatives, whole, findings, language, settings,
        compared, notes,
    )  # fmt: skip


def _look(file: CaptionFile, pictures: Pictures, say: Say) -> tuple[list[Finding], str]:
    """What is noticed without a network, and the language of most captions."""
    names = list(dict.fromkeys(row.image for row in file.rows if row.image))
    say(f"looking at {len(names):,} pictures")
    said = time.monotonic()

    def tell(done: int) -> None:
        nonlocal said
        if time.monotonic() - said > SAY_SECONDS:
            said = time.monotonic()
            say(f"{done:,} of {len(names):,} pictures looked at")

    looks = look_at_pictures(pictures, names, tell)
    if names and all(look.fault == "not there" for look in looks.values()):
        raise HarnessError(
            f"{pictures.source}: has none of the {count(len(names), 'picture')} that the captions name, first "
            f"{names[0]!r}; accepted: --images with the folder, zip archive or tar that holds them"
        )
    language, foreign = find_other_languages(file.rows)
    return [*find_in_rows(file.rows, looks), *find_in_pictures(looks), *foreign], language


def _features(
    task: Task, file: CaptionFile, rows: Sequence[int], pictures: Pictures, pixels: bool, say: Say
) -> tuple[Dataset, NDArray[np.int64]]:
    """The whole data set, built once, and the row of the user's file behind each of its pairs."""
    by_image: dict[str, list[int]] = {}
    for place in rows:
        by_image.setdefault(file.rows[place].image, []).append(place)
    items = [Item(image, tuple(file.rows[place].caption for place in places)) for image, places in by_image.items()]
    recipe = Recipe(
        encoder=task.encoder, regions=task.regions, dtype="float16", device=task.device,
        pixels=CLIP_PIXELS if pixels else None,
    )  # fmt: skip
    card = DatasetCard(
        name=WHOLE, folder=WHOLE, title=str(task.captions), noise="real", tokenizer=task.tokenizer,
        if_missing="run the same `harness clean` again",
    )  # fmt: skip
    root = task.out / "work" / "data"
    build_manifest(Manifest({"train": items}, None), pictures, root / WHOLE, recipe, card, checked=True, say=say)
    return open_dataset(WHOLE, root), np.array([place for places in by_image.values() for place in places], np.int64)


def _settings_without(settings: Settings, image: NDArray[np.int64], pairs: int, task: Task) -> Settings:
    """Settings for the pairs that a vocabulary of the old ones knows, by their images (n,) of `pairs` in all."""
    if len(image) == pairs:
        return settings
    try:
        found = settings_for(len(np.unique(image)), len(image))
    except HarnessError:
        raise HarnessError(
            f"{task.captions}: {pairs - len(image):,} of {pairs:,} captions have no word that occurs "
            f"{settings.minimum_count} times, and of the others too few are left to learn from; accepted: captions "
            "that share words; --tokenizer characters, or a transformers tokenizer, reads parts of words"
        ) from None
    return replace(found, minimum_count=settings.minimum_count)


def _train(
    task: Task, name: str, table: dict[str, Any], copies: Sequence[Copy], settings: Settings, work: Path,
    notes: list[str], say: Say,
) -> list[Cell] | None:  # fmt: skip
    """The finished trainings of a ranking, in the order of the copies; None where the budget is spent."""
    say(f"training {name} on {len(copies)} copies, {settings.batch_size} pairs a step")
    cells = _run(task, name, table, copies, work)
    if cells is None:
        return None
    if _collapsed(cells) and name == "crcl":
        say("the labels collapsed; training again with labels that stay frozen three times as long")
        longer = method_tables(name, settings, task.clip, longer=3)
        again = _run(task, f"{name}_longer", longer, copies, work)
        if again is None:
            return None
        cells = again
    if fault := _collapsed(cells):
        notes.append(
            f"{name}: {fault}; pairs are ranked by match and not by these labels, so they still are told apart"
        )
    return cells


def _run(task: Task, name: str, table: dict[str, Any], copies: Sequence[Copy], work: Path) -> list[Cell] | None:
    run = {"noise": "none", "seed": task.seed, "evaluation": {"protocols": []}, **table}
    if run["augmentation"] is None:
        del run["augmentation"]
    grid = {"title": f"clean: {name}", "run": run, "axes": {"dataset": [copy.name for copy in copies]}}
    path = work / f"{name}.toml"
    write_atomic(path, to_toml(grid).encode())
    ran = run_grid(
        load_grid(path), runs=work / "runs", data=work / "data", jobs=task.jobs or os.cpu_count() or 1,
        budget=task.budget, mirrors=(), machine={"device": task.device},
    )  # fmt: skip
    for cell in ran.failed:
        why = (cell.failure() or {}).get("error", cell.state())
        raise HarnessError(f"{cell.folder}: a training failed: {why} (log: {cell.path('log.txt')})")
    return None if ran.later else list(ran.states)


def _collapsed(cells: Sequence[Cell]) -> str:
    return next((fault for cell in cells if (fault := collapsed_labels((cell.result() or {}).get("labels", {})))), "")


def _alternatives(cell: Cell, whole: Dataset, pairs: NDArray[np.int64], device: str) -> Alternatives:
    """The best other picture and caption of some pairs (n,), by the first training's network."""
    from harness.spec import RunSpec

    network = cell.file("model.safetensors")
    assert network is not None
    opened = open_for(RunSpec.from_table({**cell.spec["run"], "dataset": WHOLE}), whole.folder.parent)
    split = opened.split("train")
    where = Machine(device).torch_device()
    return best_alternatives(load_networks(network), split, split.image_of_caption, pairs, where)


def _refuse_other(task: Task, file: CaptionFile, work: Path) -> None:
    """HarnessError where OUT holds the work on other captions or with other features."""
    now = {
        "captions": str(task.captions.absolute()),
        "images": None if task.images is None else str(task.images.absolute()),
        "sha256": file.sha256(), "encoder": task.encoder, "regions": task.regions,
        "tokenizer": task.tokenizer, "seed": task.seed, "format of the copies": COPIES_FORMAT,
    }  # fmt: skip
    before = read_json(work / "task.json")
    if before is not None and before != now:
        key = next(key for key in now if before.get(key) != now[key])
        raise HarnessError(
            f"{task.out}: holds the work of another task ({key} was {before.get(key)}, is now {now[key]}); accepted: "
            "the same one, or another --out"
        )
    write_json(work / "task.json", now)

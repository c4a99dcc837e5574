"""Which finished cells may stand side by side: trained on the same data, by the same code, from the same pairs.

A fingerprint says what was asked. It does not say what lay in the data folder at that time: captions are mended,
features extracted anew, a card changed, and the cell keeps its name. What it was trained on stands in its result.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Any, Protocol

from harness.ledger.cell import Cell
from harness.spec.fingerprint import ALGORITHM

TrainedOn = tuple[int, str, str, str]
UNKNOWN = ""
OTHER_PAIRS = "trained on other pairs than the others at the same noise and seed"
SINGLE = "train"  # the grid of a run that `harness train` made
PIXELS_IN_FORMAT_1 = "clip"  # the backbone that read pictures before results said so


class State(Protocol):
    """One data set as it lies there now."""

    @property
    def folder(self) -> Path: ...
    @property
    def digests(self) -> Mapping[str, str]: ...  # "regions" or "pixels" -> digest
    @property
    def dev_images(self) -> int | None: ...


class Now(Protocol):
    """What lies in the data folder now: `harness.data.now.DataNow`."""

    def state(self, dataset: str, /) -> State | None: ...  # None where it is not here
    def sha256(self, file: str, /) -> str: ...  # "" where it is not here


class Nothing:
    """A data folder of which nothing is known."""

    def state(self, dataset: str, /) -> None:
        return None

    def sha256(self, file: str, /) -> str:
        return ""


@dataclass(frozen=True)
class Trained:
    """A finished cell and what its result says of how it came about."""

    cell: Cell
    result: dict[str, Any]

    @classmethod
    def of(cls, cells: Iterable[Cell]) -> "list[Trained]":
        """The finished ones among `cells`."""
        read = ((cell, cell.result()) for cell in cells)
        return [cls(cell, result) for cell, result in read if result is not None]

    @property
    def run(self) -> dict[str, Any]:
        run: dict[str, Any] = self.cell.spec["run"]
        return run

    @property
    def data(self) -> str:
        return str(self.result["dataset"]["name"])

    @property
    def digest(self) -> str:
        return str(self.result["dataset"]["digest"])

    @property
    def reads(self) -> str:
        """regions or pixels: a folder that holds both has a digest for each."""
        before = "pixels" if self.run["backbone"]["name"] == PIXELS_IN_FORMAT_1 else "regions"
        return str(self.result["dataset"].get("reads", before))

    @property
    def card_dev_images(self) -> int | str | None:
        """How many dev images the data set's card let choose the epoch, None for all; UNKNOWN where the run itself
        says, or nobody did."""
        if self.run.get("evaluation", {}).get("dev_images") is not None:
            return UNKNOWN
        found: int | str | None = self.result["dataset"].get("dev_images", UNKNOWN)
        return found

    @property
    def pairs(self) -> str:
        return str(self.result["noise"]["sha256"])

    @property
    def state(self) -> TrainedOn:
        """The same of two runs that saw the same data and pairs by the same code."""
        return self.result["algorithm"], self.data, self.digest, self.pairs


def differences(cell: Cell, now: Now) -> dict[str, str]:
    """Why a finished cell is not what training it now would give: "data", "code" or "noise file" -> the words.

    Empty where it is, where it is not finished, and where nothing is known, because the data are not here.
    """
    found: dict[str, str] = {}
    for seen in Trained.of([cell]):
        state = now.state(seen.data)
        there = state.digests.get(seen.reads) if state else None
        if state and there and seen.digest != there:
            found["data"] = f"trained on other data than {state.folder} holds now ({_short(seen.digest, there)})"
        elif state and seen.card_dev_images not in (UNKNOWN, state.dev_images):
            found["data"] = (
                f"selected on {_images(seen.card_dev_images)} dev images, but the card of {state.folder} now says "
                f"{_images(state.dev_images)}"
            )
        if seen.result["algorithm"] != ALGORITHM:
            found["code"] = f"trained by version {seen.result['algorithm']} of the code, which is now {ALGORITHM}"
        noise = seen.run.get("noise", {})
        file, pinned = noise.get("path"), noise.get("sha256")
        if file and pinned and now.sha256(file) not in ("", pinned):
            found["noise file"] = f"trained on another noise file than {file} is now"
    return found


def apart(a: Trained, b: Trained, now: Now) -> dict[str, str]:
    """What two finished cells were trained on differently: "data", "code" or "training pairs" -> the words.

    Of a run that reads pixels and one that reads regions the digests differ; whether both are of one state of the
    folder is known where that state lies there now.
    """
    found: dict[str, str] = {}
    state = now.state(a.data)
    if a.data != b.data:
        found["data"] = f"the data sets differ, {a.data} and {b.data}"
    elif a.reads == b.reads and a.digest != b.digest:
        found["data"] = f"the data differ (digest {a.digest[:8]} and {b.digest[:8]}): features, captions or vocabulary"
    elif a.reads != b.reads and not (state and all(state.digests.get(x.reads) == x.digest for x in (a, b))):
        found["data"] = "one read pixels and one regions, and they are not known to be of one state of the data"
    versions = [seen.result["algorithm"] for seen in (a, b)]
    if versions[0] != versions[1]:
        found["code"] = f"versions {versions[0]} and {versions[1]} of the code trained them"
    if a.pairs != b.pairs:
        found["training pairs"] = f"the training pairs differ (noise.npy {a.pairs[:8]} and {b.pairs[:8]})"
    return found


def outdated(ensemble: Trained, members: Sequence[Trained]) -> bool:
    """Whether a member was trained again since: another time of finishing, or, in format 1, other data or pairs."""
    if "members_finished" in ensemble.result:
        return sorted(ensemble.result["members_finished"]) != sorted(seen.result["finished"] for seen in members)
    return any((seen.digest, seen.pairs) != (ensemble.digest, ensemble.pairs) for seen in members[:1])


def together(cells: Iterable[Trained], now: Now) -> dict[str, str]:
    """Which finished cells may stand in one table.

    No mean and no difference is ever over two states of the data, two versions of the code or, at one seed, two draws
    of the noise. Those of now count; where none is, or the data are not here, the most frequent state does, of equally
    frequent ones that of the cell that finished last. The others are left out, not refused: a table of a thousand cells
    stays readable while some of them are trained again, and its note says what is missing.

    Cells that read pixels and cells that read regions are judged apart, because the digest covers what is read. Where
    the data are not here, nobody can tell whether the two come from one state of the folder.

    Returns:
        The fingerprint of each cell that is left out -> why, in words.
    """
    left_out: dict[str, str] = {}
    kept = list(cells)
    questions = [
        _Question(
            "trained by another version of the code",
            about=lambda seen: "",
            answer=lambda seen: seen.result["algorithm"],
            now=lambda seen: ALGORITHM,
        ),
        _Question(
            "trained on another state of the data",
            about=lambda seen: (seen.data, seen.reads),
            answer=lambda seen: seen.digest,
            now=lambda seen: state.digests.get(seen.reads) if (state := now.state(seen.data)) else UNKNOWN,
        ),
        _Question(
            "selected on another number of dev images",
            about=lambda seen: None if seen.card_dev_images == UNKNOWN else seen.data,
            answer=lambda seen: seen.card_dev_images,
            now=lambda seen: state.dev_images if (state := now.state(seen.data)) else UNKNOWN,
        ),
        _Question(
            OTHER_PAIRS,
            about=lambda seen: (seen.data, dumps(seen.run["noise"], sort_keys=True), seen.run["seed"]),
            answer=lambda seen: seen.pairs,
        ),
    ]
    for question in questions:
        kept, others = question.divide(kept)
        left_out |= {seen.cell.fingerprint: question.words for seen in others}
    return left_out


@dataclass(frozen=True)
class _Question:
    """What cells must agree on to be averaged or compared.

    Attributes:
        words: of a cell that does not.
        about: cells with the same value of this must agree; None: no claim is made of the cell.
        answer: what they agree on.
        now: the answer that counts, if any cell gives it; UNKNOWN where none is known.
    """

    words: str
    about: Callable[[Trained], Hashable]
    answer: Callable[[Trained], Hashable]
    now: Callable[[Trained], Hashable] = lambda seen: UNKNOWN

    def divide(self, cells: list[Trained]) -> tuple[list[Trained], list[Trained]]:
        """Those that agree, and the others; both in their order."""
        asked: dict[Hashable, list[Trained]] = {}
        for seen in cells:
            asked.setdefault(self.about(seen), []).append(seen)
        counts = {about: self._that_counts(group) for about, group in asked.items()}
        agree = [self.about(seen) is None or self.answer(seen) == counts[self.about(seen)] for seen in cells]
        return (
            [seen for seen, yes in zip(cells, agree, strict=True) if yes],
            [seen for seen, yes in zip(cells, agree, strict=True) if not yes],
        )

    def _that_counts(self, group: list[Trained]) -> Hashable:
        often = Counter(map(self.answer, group))

        def weight(seen: Trained) -> tuple[bool, int, str]:
            answer = self.answer(seen)
            return answer == self.now(seen), often[answer], seen.result["finished"]

        return self.answer(max(group, key=weight))


def again(cell: Cell) -> str:
    """The command that trains a finished cell again, as it may stand in a sentence; what is set aside is kept."""
    spec = cell.spec
    if "members" in spec:
        return f"`harness ensemble {' '.join(spec['members'])}`"
    grid, smoke = spec["grid"].removesuffix("-smoke"), spec["grid"].endswith("-smoke")
    if grid == SINGLE:
        return f"the same `harness {SINGLE}` with --retrain"
    verb = "sweep" if "sweep" in spec else "run"
    return f"`harness {verb} {grid}{' --smoke' if smoke else ''} --retrain`"


def _short(then: str, there: str) -> str:
    return f"digest {then[:8]}, there {there[:8]}"


def _images(count: int | str | None) -> str:
    return "all" if count is None else f"the first {count}"

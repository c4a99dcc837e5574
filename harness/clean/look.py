"""What can be told of pictures and captions without a network: damage, blanks, duplicates, names and boilerplate."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.build.pictures import Pictures
from harness.data.formats import Row
from harness.errors import HarnessError
from harness.extras import require

TINY = 32  # pixels of the shorter side
BLANK = 3.0  # deviation of the grey values, of 255
NEAR_BITS = 4  # of 64 of the difference hash in which near-duplicates differ at the most
NEAR_COSINE = 0.98  # of two pictures' mean features, centred
REPEATED = 5  # pictures at which one caption counts as boilerplate, at the least
SURE = 0.95  # of a language
_BLOCK = 2048
_NAME = re.compile(
    r"(?i)(?:[\w\- ]+\.(?:jpe?g|png|gif|webp|bmp|tiff?))"
    r"|(?:(?:img|dsc|dscn|dscf|p|pic|image|photo|screenshot)[_\- ]?\d{2,}.*)|(?:[\d_\-.]+)"
)
_NOTHING = {
    "image", "photo", "picture", "untitled", "no caption", "no description", "none", "null", "nan", "n/a", "na",
    "thumbnail", "logo", "caption", "title", "unknown", "-", ".", "alt", "image not available",
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One thing that was noticed. row: the place of the pair in the user's file, where it is about one; image: else."""

    kind: str
    row: int | None
    image: str
    detail: str


@dataclass(frozen=True)
class Look:
    """What one picture is. fault: why it cannot be used, or ""."""

    fault: str
    side: int = 0  # the shorter one
    spread: float = 0.0
    sha256: str = ""
    bits: int = 0  # difference hash


def look_at_pictures(
    pictures: Pictures, names: Sequence[str], tell: Callable[[int], None] = lambda done: None
) -> dict[str, Look]:
    """Every picture decoded once, on all cores.

    Raises:
        HarnessError: a name leads out of the folder; or ImageHash is missing.
    """
    library = require("imagehash", "finding duplicate pictures", package="ImageHash", extra="clean")

    def look(name: str) -> Look:
        try:
            with pictures.open(name) as file:
                digest = hashlib.sha256(file.read()).hexdigest()
            whole = pictures.upright(name, 4096)
        except (FileNotFoundError, KeyError, IsADirectoryError):
            return Look("not there")
        except HarnessError:
            raise
        except Exception as error:  # Pillow's readers raise whatever the damage leads to
            return Look(pictures.reason(error))
        small = whole.convert("L")
        bits = int(str(library.dhash(small)), 16)
        return Look("", min(whole.size), float(np.asarray(small.resize((64, 64))).std()), digest, bits)

    found = {}
    with ThreadPoolExecutor() as pool:
        for done, (name, seen) in enumerate(zip(names, pool.map(look, names), strict=True), start=1):
            found[name] = seen
            tell(done)
    return found


def find_in_rows(rows: Sequence[Row], looks: dict[str, Look]) -> Iterator[Finding]:
    """What makes a row useless, or suspicious, by itself."""
    homes: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        homes[row.caption.lower()].add(row.image)
    often = max(REPEATED, len(looks) // 500)
    for place, row in enumerate(rows):
        seen = looks.get(row.image)
        if not row.image:
            yield Finding("no picture", place, "", row.where)
        elif seen is None or seen.fault:
            yield Finding("unreadable picture", place, row.image, "not looked at" if seen is None else seen.fault)
        if not row.caption:
            yield Finding("no caption", place, row.image, row.where)
            continue
        stem = PurePosixPath(row.image).stem.lower()
        words = row.caption.lower()
        if _NAME.fullmatch(row.caption) or words in (stem, row.image.lower()):
            yield Finding("caption is a file name", place, row.image, row.caption)
        elif words in _NOTHING or len(homes[words]) >= often:
            yield Finding(
                "boilerplate caption", place, row.image, f"{row.caption[:80]} ({len(homes[words]):,} pictures)"
            )
        elif len(homes[words]) > 1:
            yield Finding("caption at several pictures", place, row.image, f"{len(homes[words]):,} pictures")


def find_in_pictures(looks: dict[str, Look]) -> Iterator[Finding]:
    """Blank and tiny pictures, and those that are the same or nearly."""
    usable = {name: look for name, look in looks.items() if not look.fault}
    for name, look in usable.items():
        if look.side < TINY:
            yield Finding("tiny picture", None, name, f"{look.side} pixels")
        if look.spread < BLANK:
            yield Finding("blank picture", None, name, "of one colour")
    first: dict[str, str] = {}
    for name, look in usable.items():
        if first.setdefault(look.sha256, name) != name:
            yield Finding("duplicate picture", None, name, f"the same file as {first[look.sha256]}")
    names = [name for name, look in usable.items() if first[look.sha256] == name and look.spread >= BLANK]
    for one, other, bits in _near(names, [usable[name].bits for name in names]):
        yield Finding("near-duplicate picture", None, one, f"{bits} of 64 bits from {other}")


def find_near_features(names: Sequence[str], features: NDArray[np.float32]) -> Iterator[Finding]:
    """Pictures whose features are nearly those of one before. features: (images, d), rows of length 1, centred."""
    for start in range(0, len(names), _BLOCK):
        block = features[start : start + _BLOCK] @ features[: start + _BLOCK].T
        block[np.arange(len(names))[None, : block.shape[1]] >= np.arange(start, start + len(block))[:, None]] = -1
        for row in np.flatnonzero(block.max(axis=1) > NEAR_COSINE):
            other = int(block[row].argmax())
            yield Finding("near-duplicate picture", None, names[start + int(row)], f"features of {names[other]}")


def find_other_languages(rows: Sequence[Row]) -> tuple[str, list[Finding]]:
    """The language of most captions, and the captions that are surely of another one. Of five words at the least:
    shorter ones tell too little."""
    library: Any = require("py3langid.langid", "telling languages", package="py3langid", extra="clean")
    identifier = library.LanguageIdentifier.from_model_file(library.MODEL_FILE, norm_probs=True)
    said = {
        place: identifier.classify(row.caption)
        for place, row in enumerate(rows)
        if len(row.caption.split()) >= 5 or (row.caption and not row.caption.isascii() and len(row.caption) >= 10)
    }
    if not said:
        return "", []
    most = Counter(language for language, _ in said.values()).most_common(1)[0][0]
    return most, [
        Finding("caption of another language", place, rows[place].image, f"{language}: {rows[place].caption[:80]}")
        for place, (language, sure) in said.items()
        if language != most and sure > SURE
    ]


def _near(names: Sequence[str], bits: Sequence[int]) -> Iterator[tuple[str, str, int]]:
    """Of each picture the first one before it whose hash differs in few bits."""
    words = np.array(bits, dtype=np.uint64)
    for start in range(0, len(words), 256):
        block = np.bitwise_count(words[start : start + 256, None] ^ words[None, : start + 256])
        for row in range(len(block)):
            before = block[row, : start + row]
            hits = np.flatnonzero(before <= NEAR_BITS)
            if len(hits):
                yield names[start + row], names[int(hits[0])], int(before[hits[0]])

"""Tux Paint's stamps: pictures for children with their descriptions as people have read them out, in five languages.

A small set of real recordings (Debian's package tuxpaint-stamps-default, GPL-2): many voices, microphones and rooms. A
test picture's words are seldom heard in training, so recalls are low whatever the method.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from harness.data import layout
from harness.data.build.build import Recipe, build_manifest, say_nothing
from harness.data.build.captions import Item, Manifest
from harness.data.build.sound import Samples, add_sound, read_sound
from harness.data.cards import DatasetCard
from harness.errors import HarnessError

NAME = "stamps"
PLACE = Path("/usr/share/tuxpaint/stamps")
LANGUAGES = ("es", "fr", "ca", "ro", "ru")  # those that almost every stamp is read out in
HELD_OUT = 100  # pictures of dev, and of test
RECIPE = Recipe(regions=9, dtype="float16", device="cpu")


def build_stamps(
    root: Path,
    recipe: Recipe = RECIPE,
    *,
    place: Path = PLACE,
    held_out: int = HELD_OUT,
    overwrite: bool = False,
    say: Callable[[str], None] = say_nothing,
) -> Path:
    """Build `root/stamps` of the stamps in `place` that are PNG pictures and are read out in all five languages.

    Raises:
        HarnessError: the stamps are not here, or what `build_dataset` raises.
    """
    items = list(_items(place))
    if len(items) <= 2 * held_out:
        raise HarnessError(
            f"data build {NAME}: {len(items)} stamps with recordings in {place}; accepted: those of Tux Paint: "
            "apt-get install --no-install-recommends tuxpaint-stamps-default"
        )
    manifest = Manifest.shuffled(NAME, items, held_out, len(LANGUAGES))
    card = DatasetCard(
        name=NAME,
        folder=NAME,
        title="Tux Paint's stamps: pictures, their descriptions read out in five languages",
        source=f"Tux Paint's stamps, recordings in {', '.join(LANGUAGES)}",
        licence="GPL-2 (Tux Paint's stamps, Copyright Bill Kendrick and contributors)",
        if_missing=f"run `harness data build {NAME}`",
    )
    recipe = replace(recipe, pixels=None)
    out = build_manifest(manifest, place, root / NAME, recipe, card, overwrite=overwrite, say=say)
    pictures = {split: layout.read_lines(out / f"{split}_ids.txt") for split in manifest.splits}

    def hear(split: str, row: int) -> Samples:
        picture, language = divmod(row, len(LANGUAGES))
        file = _recording(place / pictures[split][picture], LANGUAGES[language])
        return read_sound(file, str(file))

    add_sound(out, hear, say=say)
    return out


def _items(place: Path) -> Iterator[Item]:
    """Pictures by their place, with what is said of them as written."""
    for picture in sorted(place.glob("**/*.png")):
        if all(_recording(picture, language).is_file() for language in LANGUAGES):
            written = _written(picture.with_suffix(".txt"))
            texts = tuple(written.get(language) or written.get("", picture.stem) for language in LANGUAGES)
            yield Item(picture.relative_to(place).as_posix(), texts)


def _recording(picture: Path, language: str) -> Path:
    return picture.with_name(f"{picture.stem}_desc_{language}.ogg")


def _written(path: Path) -> dict[str, str]:
    """A stamp's description by language; the first line, in English, under ""."""
    if not path.is_file():
        return {}
    first, *others = path.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    lines = {"": first.strip()}
    for line in others:
        language, dot, text = line.partition(".utf8=")
        if dot and text.strip():
            lines[language] = " ".join(text.split())
    return {language: text for language, text in lines.items() if text}

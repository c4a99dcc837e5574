"""Open Clip Art: drawings by many hands with the titles that their authors wrote, wrong ones among them.

The noise is real, and a person can see it: authors drew over an earlier file and left its title, named a whole
collection, wrote their own name, or the PNG came out blank (Debian's packages openclipart-png and openclipart-svg, in
the public domain). Titles are mostly English, some Italian.
"""

import csv
import hashlib
import io
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

from harness.data.build.build import Recipe, build_manifest, say_nothing
from harness.data.build.captions import Item, Manifest
from harness.data.build.pictures import Pictures
from harness.data.cards import DatasetCard
from harness.errors import HarnessError
from harness.files import write_atomic

NAME = "clipart"
PLACE = Path("/usr/share/openclipart")  # with the folders png and svg
CAPTIONS = "captions.csv"  # beside the features, for `harness clean`
HELD_OUT = 300  # pictures of dev, and of test
SHARED = 20  # a title at more pictures than this names a collection ("gramastar", "Lemon SVG theme")
LARGEST = 16_000_000  # pixels; a few are 100 times the rest, and Pillow refuses the largest
RECIPE = Recipe(regions=16, dtype="float16", device="cpu")


def build_clipart(
    root: Path,
    recipe: Recipe = RECIPE,
    *,
    place: Path = PLACE,
    held_out: int = HELD_OUT,
    overwrite: bool = False,
    say: Callable[[str], None] = say_nothing,
) -> Path:
    """Build `root/clipart` of the pictures in `place/png` with the titles in `place/svg`, one caption a picture.

    `captions.csv` in it (image, split, caption) is what `harness clean --images place/png` takes.

    Raises:
        HarnessError: the pictures are not here, or what `build_dataset` raises.
    """
    pictures = place / "png"
    items = list(titled(place)) if pictures.is_dir() else []
    if len(items) <= 2 * held_out:
        raise HarnessError(
            f"data build {NAME}: {len(items)} pictures with titles in {place}; accepted: those of Open Clip Art: "
            "apt-get install --no-install-recommends openclipart-png openclipart-svg"
        )
    manifest = Manifest.shuffled(NAME, items, held_out, 1)
    card = DatasetCard(
        name=NAME,
        folder=NAME,
        title="Open Clip Art: drawings with their authors' titles, noisy as found",
        noise="real",
        source="Debian's openclipart-png (pictures) and openclipart-svg (dc:title)",
        licence="public domain",
        if_missing=f"run `harness data build {NAME}`",
    )
    out = build_manifest(manifest, pictures, root / NAME, recipe, card, overwrite=overwrite, say=say)
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["image", "split", "caption"])
    rows.writerows((item.image, split, *item.captions) for split, its in manifest.splits.items() for item in its)
    write_atomic(out / CAPTIONS, table.getvalue().encode())
    return out


def titled(place: Path) -> Iterator[Item]:
    """Pictures, by their place, with their titles; of pictures that look exactly alike the first one."""
    pictures = Pictures(place / "png")
    titles = dict(_titles(place))
    shared = Counter(titles.values())
    seen = set()
    for name, title in titles.items():
        if shared[title] > SHARED or _pixels(place / "png" / name) > LARGEST:
            continue
        picture = pictures.upright(name, LARGEST)
        look = hashlib.sha256(f"{picture.size}".encode() + picture.tobytes()).digest()
        if look not in seen:
            seen.add(look)
            yield Item(name, (title,))


def _titles(place: Path) -> Iterator[tuple[str, str]]:
    """Picture -> title, of those that have one; a link shows a picture in a second folder and is left out."""
    for picture in sorted((place / "png").rglob("*.png")):
        name = picture.relative_to(place / "png")
        drawing = (place / "svg" / name).with_suffix(".svg")
        if not picture.is_symlink() and drawing.is_file() and (title := _title(drawing)):
            yield name.as_posix(), title


def _title(drawing: Path) -> str:
    """The title of the work, on one line; "" where there is none. Its publisher and author have titles, too."""
    try:
        for _, element in ElementTree.iterparse(drawing):
            if element.tag.endswith("}Work"):
                return next((" ".join("".join(x.itertext()).split()) for x in element if x.tag.endswith("}title")), "")
    except ElementTree.ParseError:
        pass  # damaged: no title
    return ""


def _pixels(picture: Path) -> int:
    """Width times height as a PNG's header says; 0 where it is none, which the build says when it reads it."""
    with picture.open("rb") as file:
        header = file.read(24)
    width, height = struct.unpack(">II", header[16:24]) if len(header) == 24 else (0, 0)
    return int(width * height)

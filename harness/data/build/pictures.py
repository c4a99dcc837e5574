"""Pictures as squares of RGB bytes, whatever kind of file they come from."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.build.sources import Source, open_source
from harness.errors import HarnessError
from harness.extras import require

_LISTED = 10  # names in a message


class Pictures:
    """Read-only access by name; see harness/data/build/sources.py for what a name may leave out."""

    def __init__(self, source: Path | Source) -> None:
        self._source = open_source(source) if isinstance(source, Path) else source
        self.source = self._source.path
        self._image: Any = require("PIL.Image", "reading pictures", package="Pillow")
        self._ops: Any = require("PIL.ImageOps", "reading pictures", package="Pillow")

    def faults(self, names: Iterable[str]) -> dict[str, str]:
        """Name -> why it cannot be used, of the pictures that cannot: each is decoded whole, on all cores.

        Raises:
            HarnessError: a name leads out of the folder, or to no regular file.
        """

        def look(name: str) -> str:
            try:
                with self._source.open(name) as file, self._image.open(file) as picture:
                    picture.draft("RGB", (64, 64))  # a JPEG is read to its end at an eighth of its size
                    picture.load()
            except (FileNotFoundError, KeyError, IsADirectoryError):
                return "not there"
            except HarnessError:
                raise
            except Exception as error:  # Pillow's readers raise whatever the damage leads to
                return self.reason(error)
            return ""

        names = list(dict.fromkeys(names))
        with ThreadPoolExecutor() as pool:
            return {name: fault for name, fault in zip(names, pool.map(look, names), strict=True) if fault}

    def check(self, names: Iterable[str]) -> None:
        """Decode every picture, so that a bad one ends the build before the hours of encoding, not after.

        Raises:
            HarnessError: counting the missing and unreadable pictures and naming the first ones.
        """
        found = self.faults(names)
        missing = [name for name, fault in found.items() if fault == "not there"]
        if missing:
            raise HarnessError(
                f"{self.source}: {_are(len(missing))} named in the captions but not there, "
                f"first {_listed(missing)}; add the file or take its rows out of the captions, or leave such pictures "
                "out with --skip-unreadable"
            )
        if found:
            said = "; ".join(f"{name!r} ({fault})" for name, fault in list(found.items())[:_LISTED])
            more = f"; and {len(found) - _LISTED:,} more" if len(found) > _LISTED else ""
            raise HarnessError(
                f"{self.source}: {_are(len(found))} not readable as a picture: {said}{more}; replace the files and run "
                "the same command again, or leave such pictures out with --skip-unreadable"
            )

    def stamp(self, name: str) -> str:
        """Tells a replaced picture from the old one without reading it: size, in an archive also checksum."""
        return self._source.stamp(name)

    def load(self, name: str, size: int) -> np.ndarray:
        """One picture, uint8 (size, size, 3): upright, white behind what is transparent, all of it squeezed.

        Raises:
            HarnessError: the file is damaged.
        """
        try:
            with self.open(name) as file, self._image.open(file) as picture:
                picture.draft("RGB", (size, size))  # JPEG: decoded at half or quarter size where that is enough
                square = self._on_white(picture).resize((size, size), self._image.Resampling.BICUBIC)
                return np.asarray(square)
        except HarnessError:
            raise
        except Exception as error:  # as above
            raise self._unreadable(name, error) from None

    def cut(self, name: str, size: int) -> np.ndarray:
        """One picture as CLIP's preprocessing cuts it, uint8 (size, size, 3): short side resized, middle kept.

        Raises:
            HarnessError: the file is damaged.
        """
        try:
            with self.open(name) as file, self._image.open(file) as picture:
                whole = self._on_white(picture)
                width, height = (int(size * side / min(whole.size)) for side in whole.size)
                whole = whole.resize((width, height), self._image.Resampling.BICUBIC)
                left, top = (width - size) // 2, (height - size) // 2
                return np.asarray(whole.crop((left, top, left + size, top + size)))
        except HarnessError:
            raise
        except Exception as error:  # as above
            raise self._unreadable(name, error) from None

    def upright(self, name: str, side: int) -> Any:
        """A Pillow picture in RGB in its own proportions, at most `side` pixels wide and high."""
        with self.open(name) as file, self._image.open(file) as picture:
            picture.draft("RGB", (side, side))
            whole = self._on_white(picture)
        whole.thumbnail((side, side))
        return whole

    def open(self, name: str) -> Any:
        return self._source.open(name)

    def _on_white(self, picture: Any) -> Any:
        picture = self._ops.exif_transpose(picture)
        if picture.mode.startswith(("I", "F")):
            return self._image.fromarray(_to_bytes(np.asarray(picture))).convert("RGB")
        if "A" not in picture.getbands() and "transparency" not in picture.info:
            return picture.convert("RGB")
        picture = picture.convert("RGBA")
        white = self._image.new("RGBA", picture.size, "white")
        return self._image.alpha_composite(white, picture).convert("RGB")

    def reason(self, error: Exception) -> str:
        if isinstance(error, self._image.UnidentifiedImageError):
            return "no picture, or of an unknown format"
        return " ".join(str(error).split())[:100] or type(error).__name__

    def _unreadable(self, name: str, error: Exception) -> HarnessError:
        return HarnessError(
            f"{self.source}: 1 file is not readable as a picture: {name!r} ({self.reason(error)}); replace the file "
            "and run the same command again, or take its rows out"
        )


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """Grey values (h, w) of 16 or 32 bits or floats, as uint8. Where they fit one of the usual ranges, 0 to 1 (floats),
    255 or 65,535, that is the range; else it is from the least to the greatest."""
    found = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = float(found.min()), float(found.max())
    ends = (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (255.0, 65535.0)
    top = next((end for end in ends if low >= 0 and high <= end), None)
    if top is None:
        found, top = found - low, max(high - low, 1e-12)
    return (found * (255 / top)).round().astype(np.uint8)


def _are(count: int) -> str:
    return "1 file is" if count == 1 else f"{count:,} files are"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return ", ".join(map(repr, names[:_LISTED])) + more

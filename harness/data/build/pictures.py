"""Pictures from a folder or a zip archive, as squares of RGB bytes."""

import stat
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from harness.data.build.extras import require
from harness.errors import HarnessError

ACCEPTED = "accepted: a folder of pictures or a zip archive"


class Pictures:
    """Read-only access by name. In an archive a name may leave out its folder if that is unambiguous."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self._image: Any = require("PIL.Image", "reading pictures", package="Pillow")
        self._ops: Any = require("PIL.ImageOps", "reading pictures", package="Pillow")
        self._zip: zipfile.ZipFile | None = None
        self._members: dict[str, zipfile.ZipInfo] = {}
        if source.is_dir():
            return
        try:
            self._zip = zipfile.ZipFile(source)
        except FileNotFoundError:
            raise HarnessError(f"{source}: no such file or folder; {ACCEPTED}") from None
        except zipfile.BadZipFile as error:
            raise HarnessError(f"{source}: not a readable zip archive ({error}); {ACCEPTED}") from None
        short: dict[str, list[zipfile.ZipInfo]] = {}
        for member in self._zip.infolist():
            short.setdefault(member.filename.rsplit("/", 1)[-1], []).append(member)
        self._members = {name: found[0] for name, found in short.items() if len(found) == 1}
        self._members |= {member.filename: member for member in self._zip.infolist()}

    def check(self, names: Iterable[str]) -> None:
        """Look at every picture's header, so that a bad one ends the build before the hours of encoding, not after.

        Raises:
            HarnessError: counting the missing or unreadable pictures and naming the first.
        """
        missing: list[str] = []
        bad: list[tuple[str, Exception]] = []
        for name in names:
            try:
                with self._open(name) as file, self._image.open(file):
                    pass
            except (FileNotFoundError, KeyError, IsADirectoryError):
                missing.append(name)
            except HarnessError:
                raise
            except Exception as error:  # Pillow's readers raise whatever the damage leads to
                bad.append((name, error))
        if missing:
            raise HarnessError(
                f"{self.source}: {_are(len(missing))} named in the captions but not there, "
                f"first {missing[0]!r}; add the file or take its rows out of the captions"
            )
        if bad:
            raise self._unreadable(*bad[0], count=len(bad))

    def stamp(self, name: str) -> str:
        """Tells a replaced picture from the old one without reading it: size, in an archive also checksum."""
        if self._zip is None:
            return f"{name} {self._path(name).stat().st_size}"
        member = self._members[name]
        return f"{name} {member.file_size} {member.CRC:08x}"

    def load(self, name: str, size: int) -> np.ndarray:
        """One picture, uint8 (size, size, 3): upright, white behind what is transparent, all of it squeezed.

        Raises:
            HarnessError: the file is damaged.
        """
        try:
            with self._open(name) as file, self._image.open(file) as picture:
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
            with self._open(name) as file, self._image.open(file) as picture:
                whole = self._on_white(picture)
                width, height = (int(size * side / min(whole.size)) for side in whole.size)
                whole = whole.resize((width, height), self._image.Resampling.BICUBIC)
                left, top = (width - size) // 2, (height - size) // 2
                return np.asarray(whole.crop((left, top, left + size, top + size)))
        except HarnessError:
            raise
        except Exception as error:  # as above
            raise self._unreadable(name, error) from None

    def _open(self, name: str) -> IO[bytes]:
        if self._zip is None:
            return open(self._path(name), "rb")
        return self._zip.open(self._members[name])

    def _path(self, name: str) -> Path:
        """Where a picture of the folder lies.

        Raises:
            HarnessError: not in the folder, or no regular file: what another name leads to is not ours to show.
            FileNotFoundError: there is nothing.
        """
        path = self.source / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise HarnessError(
                f"{self.source}: {name!r} leads out of the folder; accepted: names of files in it, or in a folder of it"
            )
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(name)
        if not stat.S_ISREG(mode):  # a pipe would be waited for
            raise HarnessError(f"{self.source}: {name!r} is no regular file; accepted: pictures; take its rows out")
        return path

    def _on_white(self, picture: Any) -> Any:
        picture = self._ops.exif_transpose(picture)
        if "A" not in picture.getbands() and "transparency" not in picture.info:
            return picture.convert("RGB")
        picture = picture.convert("RGBA")
        white = self._image.new("RGBA", picture.size, "white")
        return self._image.alpha_composite(white, picture).convert("RGB")

    def _unreadable(self, name: str, error: Exception, count: int = 1) -> HarnessError:
        reason = " ".join(str(error).split()) or type(error).__name__
        return HarnessError(
            f"{self.source}: {_are(count)} not readable as a picture, {'first ' if count > 1 else ''}"
            f"{name!r} ({reason}); replace the file and run the same command again, or take its rows out"
        )


def _are(count: int) -> str:
    return "1 file is" if count == 1 else f"{count:,} files are"

"""Where pictures lie: a folder, a zip archive, tar archives, or a file that holds captions too. Each opens one by name.

A name need not be written as the disk writes it: é may be one letter or two (a Mac writes two), the folder may be left
out where the name alone is unambiguous, and so may the ending.
"""

import io
import os
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import IO, Protocol

from harness.data.formats.base import PICTURES
from harness.errors import HarnessError

ACCEPTED = "accepted: a folder of pictures, a zip archive, or a tar"


class Source(Protocol):
    """Pictures by name."""

    path: Path

    def open(self, name: str) -> IO[bytes]:
        """The file of a picture. FileNotFoundError: there is none; HarnessError: not ours to open."""

    def stamp(self, name: str) -> str:
        """What tells a replaced picture from the old one, without reading it."""


class Names:
    """Which of the names that are there a name means."""

    def __init__(self, names: Iterable[str]) -> None:
        self._exact = {_composed(name): name for name in names}
        short: dict[str, list[str]] = {}
        stems: dict[str, list[str]] = {}
        for name in self._exact.values():
            base = _composed(name.rpartition("/")[2])
            short.setdefault(base, []).append(name)
            stem, dot, end = base.rpartition(".")
            if dot + end.lower() in PICTURES:
                stems.setdefault(stem, []).append(name)
                stems.setdefault(_composed(name)[: -len(end) - 1], []).append(name)
        self._short = {name: found[0] for name, found in short.items() if len(found) == 1}
        self._stems = {name: found[0] for name, found in stems.items() if len(set(found)) == 1}

    def find(self, name: str) -> str | None:
        """The name as it is there; None where nothing fits, or several do."""
        wanted = _composed(name.removeprefix("./"))
        base = wanted.rpartition("/")[2]
        return self._exact.get(wanted) or self._short.get(base) or self._stems.get(wanted) or self._stems.get(base)


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


class FolderSource:
    """A folder, with the folders in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, name: str) -> IO[bytes]:
        return open(self._place(name), "rb")

    def stamp(self, name: str) -> str:
        return f"{name} {self._place(name).stat().st_size}"

    def _place(self, name: str) -> Path:
        """Where a picture of the folder lies.

        Raises:
            HarnessError: not in the folder, or no regular file: what another name leads to is not ours to show.
            FileNotFoundError: there is nothing.
        """
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise HarnessError(
                f"{self.path}: {name!r} leads out of the folder; accepted: names of files in it, or in a folder of it"
            )
        place = self.path / name
        try:
            mode = place.stat().st_mode
        except OSError:
            found = self._names.find(name)
            if found is None:
                raise FileNotFoundError(name) from None
            place = self.path / found
            mode = place.stat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(name)
        if not stat.S_ISREG(mode):  # a pipe would be waited for
            raise HarnessError(f"{self.path}: {name!r} is no regular file; accepted: pictures; take its rows out")
        return place

    @cached_property
    def _names(self) -> Names:
        """Everything in the folder; looked at once, when a name is not there as it is written."""
        found = []
        for folder, _, files in os.walk(self.path, followlinks=True):
            inside = Path(folder).relative_to(self.path).as_posix()
            found += [file if inside == "." else f"{inside}/{file}" for file in files]
        return Names(found)


class ZipSource:
    """A zip archive."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except FileNotFoundError:
            raise HarnessError(f"{path}: no such file or folder; {ACCEPTED}") from None
        except zipfile.BadZipFile as error:
            raise HarnessError(f"{path}: not a readable zip archive ({error}); {ACCEPTED}") from None
        self._names = Names(member.filename for member in self._zip.infolist() if not member.is_dir())

    def open(self, name: str) -> IO[bytes]:
        return self._zip.open(self._member(name))

    def stamp(self, name: str) -> str:
        member = self._member(name)
        return f"{name} {member.file_size} {member.CRC:08x}"

    def _member(self, name: str) -> zipfile.ZipInfo:
        found = self._names.find(name)
        if found is None:
            raise FileNotFoundError(name)
        return self._zip.getinfo(found)


class TarSource:
    """Tar archives; a picture is called ARCHIVE.tar/NAME, or NAME alone where that is unambiguous.

    folders: a picture is called ARCHIVE/NAME, as img2dataset's parquet files name them.
    """

    def __init__(self, path: Path, tars: Iterable[Path], *, folders: bool = False) -> None:
        self.path = path
        self._members: dict[str, tuple[Path, int, int]] = {}
        for tar in tars:
            with tarfile.open(tar, "r:") as archive:
                for member in archive:
                    if member.isfile():
                        name = f"{tar.stem if folders else tar.name}/{member.name}"
                        self._members[name] = (tar, member.offset_data, member.size)
        self._names = Names(self._members)

    def open(self, name: str) -> IO[bytes]:
        tar, start, size = self._member(name)
        with open(tar, "rb") as file:
            file.seek(start)
            return io.BytesIO(file.read(size))

    def stamp(self, name: str) -> str:
        _, start, size = self._member(name)
        return f"{name} {size} {start}"

    def _member(self, name: str) -> tuple[Path, int, int]:
        found = self._names.find(name)
        if found is None:
            raise FileNotFoundError(name)
        return self._members[found]


class BytesSource:
    """Pictures that another file holds; `readers` give the bytes of each."""

    def __init__(self, path: Path, readers: Mapping[str, Callable[[], bytes]]) -> None:
        self.path, self._readers = path, readers

    def open(self, name: str) -> IO[bytes]:
        if name not in self._readers:
            raise FileNotFoundError(name)
        return io.BytesIO(self._readers[name]())

    def stamp(self, name: str) -> str:
        return f"{name} {len(self.open(name).read())}"


def open_source(path: Path) -> Source:
    """Pictures at a path.

    Raises:
        HarnessError: there is nothing, or no archive.
    """
    if path.is_dir():
        return FolderSource(path)
    if path.suffix.lower() == ".tar" and path.is_file():
        try:
            return TarSource(path, [path])
        except (tarfile.TarError, EOFError, OSError) as error:
            raise HarnessError(
                f"{path}: not a whole tar archive without compression ({error}); copy it again, or unpack it"
            ) from None
    return ZipSource(path)

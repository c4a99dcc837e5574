"""webdataset: tar archives in which the files of one sample share a name: 000.jpg with 000.txt or 000.json."""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.data.build.sources import TarSource
from harness.data.formats.base import CAPTION, PICTURES, TEXTS, CaptionFile, Row, listed, one_line, pick, unknown
from harness.errors import HarnessError


class WebDataset(CaptionFile):
    """A folder of tars, or one. The pictures are in them too. What a sample lacks, picture or caption, is empty."""

    kind = "webdataset tars"
    suffix = ""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._tars = sorted(path.glob("*.tar")) if path.is_dir() else [path]
        self._samples: list[tuple[Path, str]] = []
        for tar in self._tars:
            self._read(tar)
        if not self.rows:
            raise unknown(path, f"{len(self._tars)} tar archives without a sample")
        self.pictures = TarSource(path, self._tars)

    def _read(self, tar: Path) -> None:
        samples: dict[str, dict[str, tarfile.TarInfo]] = {}
        try:
            with tarfile.open(tar, "r:") as archive:
                for member in archive:
                    if member.isfile():
                        key, end = sample_key(member.name)
                        samples.setdefault(key, {})[end] = member
                for key, files in samples.items():
                    picture = next((files[end].name for end in PICTURES if end in files), "")
                    caption = _caption(archive, files, tar, key)
                    if picture or caption:
                        self._samples.append((tar, key))
                        name = f"{tar.name}/{picture}" if picture else ""
                        self.rows.append(Row(name, caption, None, f"{tar.name}: {key}"))
        except (tarfile.TarError, OSError, EOFError) as error:
            raise HarnessError(
                f"{tar}: not a whole tar archive without compression ({error}); copy the file again, or unpack it"
            ) from None

    def write(self, path: Path, kept: Sequence[int], columns: Mapping[str, Sequence[object]] | None = None) -> None:
        """A folder with the same tars, samples that are not kept left out; `columns` are left out, a tar has none."""
        path.mkdir(parents=True, exist_ok=True)
        chosen = {self._samples[row] for row in kept}
        for tar in self._tars:
            with tarfile.open(tar, "r:") as old, tarfile.open(path / tar.name, "w") as new:
                for member in old:
                    if member.isfile() and (tar, sample_key(member.name)[0]) in chosen:
                        new.addfile(member, old.extractfile(member))


def sample_key(name: str) -> tuple[str, str]:
    """A member's sample and ending: "a/000.seg.png" is ("a/000", ".seg.png"), as webdataset splits it."""
    folder, _, base = name.rpartition("/")
    stem, dot, end = base.partition(".")
    return (f"{folder}/{stem}" if folder else stem), (dot + end).lower()


def _caption(archive: tarfile.TarFile, files: Mapping[str, tarfile.TarInfo], tar: Path, key: str) -> str:
    for end in TEXTS:
        if end in files:
            opened = archive.extractfile(files[end])
            assert opened is not None
            return one_line(opened.read().decode("utf-8", errors="replace"))
    if ".json" not in files:
        return ""
    opened = archive.extractfile(files[".json"])
    assert opened is not None
    try:
        record = json.load(io.TextIOWrapper(opened, encoding="utf-8"))
        names = [str(name) for name in record]
    except (ValueError, TypeError, RecursionError):
        raise HarnessError(f"{tar}: {key}.json is no JSON object; accepted: one with a caption; mend it") from None
    place = pick(names, CAPTION)
    if place is None:
        raise HarnessError(f"{tar}: {key}.json has the keys {listed(names)}; accepted: one of {', '.join(CAPTION[:4])}")
    return one_line(record[names[place]])

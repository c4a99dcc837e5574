"""Folders of pictures that bring their captions: in a text file beside each, or in a table in each split's folder."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.data.build.sources import FolderSource
from harness.data.formats.base import PICTURES, SPLITS, TEXTS, CaptionFile, Row, one_line
from harness.data.formats.delimited import decoded
from harness.errors import HarnessError
from harness.files import write_atomic

Pairs = dict[Path, tuple[Path | None, Path | None]]  # name without ending -> (picture, text), each as it lies there
ABOUT = ("readme", "license", "licence", "changelog")  # texts that a folder may hold besides captions


class TextsBeside(CaptionFile):
    """a.jpg with a.txt, in a folder or in folders of it; each line of the text is a caption.

    A picture without a text has an empty caption, and a text without a picture an empty name. Where every picture lies
    in a folder that is called as a split, that is its split.
    """

    kind = "pictures with a text file beside each"
    suffix = ""

    def __init__(self, path: Path, pairs: Pairs) -> None:
        super().__init__(path)
        self.pictures = FolderSource(path)
        self._lines: list[tuple[Path | None, str]] = []  # of each row, the text file and the line as it stands
        splits = {picture: SPLITS.get(picture.parts[0].lower()) for picture, _ in pairs.values() if picture}
        whole = all(splits.values())
        for picture, text in pairs.values():
            lines = [""] if text is None else self._read(path / text)
            for number, line in enumerate(lines, start=1):
                where = f"{text or picture}" + (f", line {number}" if len(lines) > 1 else "")
                split = splits.get(picture) if picture and whole else None
                self.rows.append(Row(picture.as_posix() if picture else "", one_line(line), split, where))
                self._lines.append((text, line))

    def _read(self, text: Path) -> list[str]:
        if not text.stat().st_size:
            return [""]
        *_, content = decoded(text)
        return [line for line in content.splitlines() if line.strip()] or [""]

    def write(self, path: Path, kept: Sequence[int], columns: Mapping[str, Sequence[object]] | None = None) -> None:
        """A folder with the same text files, lines that are not kept left out; `columns` are left out too."""
        path.mkdir(parents=True, exist_ok=True)
        texts: dict[Path, list[str]] = {}
        for row in kept:
            text, line = self._lines[row]
            if text is not None:
                texts.setdefault(text, []).append(line)
        for text, lines in texts.items():
            (path / text).parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path / text, "".join(f"{line}\n" for line in lines).encode())


class SplitFolders(CaptionFile):
    """train/metadata.jsonl, test/metadata.csv and so on, each with the pictures of its folder, as Hugging Face's
    imagefolder has them."""

    kind = "a table in the folder of each split"
    suffix = ""

    def __init__(self, path: Path, tables: Mapping[str, CaptionFile]) -> None:
        """tables: what was read, by the name of its folder in `path`."""
        super().__init__(path)
        self.pictures = FolderSource(path)
        self._tables = tables
        for folder, table in tables.items():
            for row in table.rows:
                name = f"{folder}/{row.image}" if row.image else ""
                where = f"{folder}/{table.path.name}, {row.where}"
                self.rows.append(Row(name, row.caption, row.split or SPLITS[folder.lower()], where))

    def write(self, path: Path, kept: Sequence[int], columns: Mapping[str, Sequence[object]] | None = None) -> None:
        """A folder with the same tables, each written as its own format is."""
        start = 0
        for folder, table in self._tables.items():
            end = start + len(table.rows)
            own = [row - start for row in kept if start <= row < end]
            extra = {name: values[start:end] for name, values in (columns or {}).items()}
            (path / folder).mkdir(parents=True, exist_ok=True)
            table.write(path / folder / table.path.name, own, extra)
            start = end


def split_folders(path: Path, names: Sequence[str]) -> dict[str, Path]:
    """The tables, called as one of `names`, in folders of `path` that are called as a split."""
    found: dict[str, Path] = {}
    for folder in sorted(path.iterdir()):
        if folder.is_dir() and folder.name.lower() in SPLITS:
            table = next((folder / name for name in names if (folder / name).is_file()), None)
            if table is not None:
                found[folder.name] = table
    return found


def pairs_in(path: Path) -> Pairs:
    """Pictures and texts of one name; empty where no picture has a text.

    Raises:
        HarnessError: two pictures, or two texts, share a name.
    """
    found: dict[Path, list[Path | None]] = {}
    twice: tuple[Path, Path] | None = None
    for file in _files(path):
        place = 0 if file.suffix.lower() in PICTURES else 1
        pair = found.setdefault(file.with_suffix(""), [None, None])
        if other := pair[place]:
            twice = twice or (other, file)
        pair[place] = file
    if not any(picture and text for picture, text in found.values()):
        return {}
    if twice:
        raise HarnessError(
            f"{path}: {twice[0]} and {twice[1]} have one name; accepted: one picture and one text of a name; rename one"
        )
    return {key: (picture, text) for key, (picture, text) in found.items()}


def _files(path: Path) -> Iterator[Path]:
    """Pictures and texts below a folder, in order, without what is hidden or about the folder."""
    for file in sorted(path.rglob("*")):
        inside = file.relative_to(path)
        if any(part.startswith(".") for part in inside.parts) or not file.is_file():
            continue
        if inside.suffix.lower() in PICTURES or (inside.suffix.lower() in TEXTS and inside.stem.lower() not in ABOUT):
            yield inside

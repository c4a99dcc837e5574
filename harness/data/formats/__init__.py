"""Files of captions as people have them, each read by one small reader behind one interface.

To add a format: a module with its class, one line in `read_captions`, one test.
"""

from pathlib import Path

from harness.data.formats.base import ACCEPTED, UNLISTED, CaptionFile, Row, listed, unknown
from harness.data.formats.delimited import Delimited, decoded
from harness.data.formats.json_files import JsonLines, read_json_captions
from harness.data.formats.token import Token
from harness.errors import HarnessError

__all__ = ["ACCEPTED", "UNLISTED", "CaptionFile", "Row", "read_captions"]

METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet", "captions.txt", "captions.csv")


def read_captions(path: Path) -> CaptionFile:
    """The pairs of a file or folder, by the reader that knows it. The content tells, not the ending alone.

    Raises:
        HarnessError: it is not there, or no reader knows it: what was seen, and what is accepted.
    """
    if path.is_dir():
        return _read_folder(path)
    if not path.exists():
        if len(path.parts) == 2 and not path.suffix and not path.parent.exists():
            from harness.data.formats.hub import HubDataset

            return HubDataset(path, name=path.as_posix())
        raise HarnessError(f"{path}: no such file; {ACCEPTED}")
    if path.suffix.lower() == ".tar":
        from harness.data.formats.webdataset import WebDataset

        return WebDataset(path)
    if path.suffix.lower() == ".parquet":
        from harness.data.formats.parquet import Parquet

        return Parquet(path)
    *_, text = decoded(path)
    first = text.lstrip().split("\n", 1)[0]
    if Token.fits(first):
        return Token(path)
    if path.suffix.lower() == ".jsonl" or (
        first.startswith("{") and first.rstrip().endswith("}") and "\n" in text.strip()
    ):
        return JsonLines(path)
    if first[:1] in ("{", "["):
        return read_json_captions(path)
    return Delimited(path)


def _read_folder(path: Path) -> CaptionFile:
    """A folder by what lies in it."""
    from harness.data.formats.folders import SplitFolders, TextsBeside, pairs_in, split_folders

    if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        from harness.data.formats.hub import HubDataset

        return HubDataset(path)
    for name in METADATA:
        if (path / name).is_file():
            return read_captions(path / name)
    if tables := split_folders(path, METADATA):
        return SplitFolders(path, {folder: read_captions(table) for folder, table in tables.items()})
    if next(path.rglob("*.parquet"), None):
        from harness.data.formats.parquet import Parquet

        return Parquet(path)
    if next(path.glob("*.tar"), None):
        from harness.data.formats.webdataset import WebDataset

        return WebDataset(path)
    if pairs := pairs_in(path):
        return TextsBeside(path, pairs)
    raise unknown(path, f"a folder with {listed(sorted(p.name for p in path.iterdir()), 4)}")

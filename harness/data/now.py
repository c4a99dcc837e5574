"""What lies in a data folder now, by its digests. Nothing is said of a data set that is not here, or not whole."""

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from harness.data.dataset import Dataset, open_dataset
from harness.data.pixels import PixelDataset
from harness.errors import HarnessError
from harness.files import file_sha256


@dataclass(frozen=True)
class DataState:
    """One data set as it is.

    Attributes:
        folder: where it lies.
        digests: what a backbone reads, "regions" or "pixels" -> digest, as a run's result names them.
        dev_images: how many dev images its card lets choose the epoch; None for all.
    """

    folder: Path
    digests: dict[str, str]
    dev_images: int | None


class DataNow:
    """A data folder and the noise files, looked at once: a verb makes one, and a thousand cells ask it.

    Args:
        root: the data folder.
    """

    def __init__(self, root: Path) -> None:
        self._state, self._sha256 = cache(partial(_look, root)), cache(file_sha256)

    def state(self, dataset: str, /) -> DataState | None:
        """A data set by the name that a run has for it; None where it is not here. About 20 MB are read per split."""
        return self._state(dataset)

    def sha256(self, file: str, /) -> str:
        """Of a file's bytes; empty where there is no file."""
        return self._sha256(file)


def _look(root: Path, name: str) -> DataState | None:
    try:
        dataset = open_dataset(name, root)
        digests = {"regions": dataset.digest()}
    except HarnessError:
        return None
    pixels = _pixels(dataset)
    return DataState(dataset.folder, digests | ({"pixels": pixels} if pixels else {}), dataset.card.dev_images)


def _pixels(dataset: Dataset) -> str:
    """The digest as a backbone has it that reads pictures; no tokenizer is asked, whose model may be a download."""
    try:
        return PixelDataset(dataset, lambda texts: [[] for _ in texts], 0).digest()
    except HarnessError:
        return ""

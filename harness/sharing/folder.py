"""An exported run: the files of a finished cell, with what else its network needs, in a folder of any name.

    README.md          the model card; may be edited, so it is not under the checksums
    export.json        the run's fingerprint, and the sha256 of each of the files below
    spec.json          as in the ledger, and so are the other files of the cell (harness/ledger/__init__.py)
    vocabulary.json    the words that the network reads, in the form of SCAN's files; none where it brings its own
    dataset.json       the card of the data set: title, source, licence
    environment.json   versions: of the training, and of the packages that were there at the export

What else lies in the folder is left alone: a hub adds files of its own.
"""

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.data.cards import DatasetCard
from harness.errors import HarnessError
from harness.files import file_sha256, read_json
from harness.ledger import Cell
from harness.ledger.seal import unsealed
from harness.spec import RunSpec, fingerprint
from harness.spec.explain import explain
from harness.spec.fingerprint import ALGORITHM

FORMAT = 1
MANIFEST, README = "export.json", "README.md"
VOCABULARY, DATASET, ENVIRONMENT = "vocabulary.json", "dataset.json", "environment.json"
NEEDED = ("spec.json", "result.json", "metrics.jsonl", "noise.npy", "model.safetensors", DATASET, ENVIRONMENT)
MAYBE = ("labels.npy", "label_history.npy", "pairs.npz", "ranks.npz", VOCABULARY)
FURTHER_NETWORK = re.compile(r"model\.\d+\.safetensors")


class Manifest(BaseModel):
    """export.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    harness: str  # the version that wrote it
    fingerprint: str = Field(pattern=r"^[0-9a-f]{16}$")
    files: dict[str, str] = Field(min_length=1)  # name -> sha256


def is_exported(folder: Path) -> bool:
    """Whether the folder says that it is an exported run."""
    return (folder / MANIFEST).is_file()


def open_exported(folder: Path) -> Cell:
    """The run in an exported folder, every file of which is the one that was exported, as a finished cell.

    Raises:
        HarnessError: it is no such folder, of a later version, or a file is missing or damaged; or the run's settings
            do not have its fingerprint.
    """
    manifest = read_manifest(folder)
    for name in sorted(manifest.files):
        if not (name in NEEDED or name in MAYBE or FURTHER_NETWORK.fullmatch(name)):
            raise HarnessError(f"{folder / MANIFEST}: files: {name!r}: accepted: the files of a run; {_again(folder)}")
    for name in sorted({*NEEDED, *manifest.files}):
        path = folder / name
        if not path.is_file() or name not in manifest.files:
            raise HarnessError(f"{path}: is missing; {_again(folder)}")
        if file_sha256(path) != manifest.files[name]:
            raise HarnessError(f"{path}: is not the file that was exported (sha256); {_again(folder)}")
    cell = Cell(folder, manifest.fingerprint)
    _refuse_another(cell)
    return cell


def read_manifest(folder: Path) -> Manifest:
    """What export.json says.

    Raises:
        HarnessError: there is none, or it is damaged or of a later version.
    """
    path = folder / MANIFEST
    try:
        table: Any = unsealed(read_json(path), path)
    except (HarnessError, OSError):
        raise HarnessError(f"{path}: is damaged; {_again(folder)}") from None
    if table is None:
        raise HarnessError(f"{folder}: is no exported run, it has no {MANIFEST}; `harness export RUN --out` makes one")
    found = table.get("format") if isinstance(table, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise HarnessError(f"{path}: has format {found}, written by a newer version of harness; update")
    try:
        return Manifest.model_validate(table)
    except ValidationError as error:
        raise HarnessError(f"{explain(error, where=str(path))}; {_again(folder)}") from None


def kept_card(cell: Cell) -> DatasetCard | None:
    """The data set's card that an exported or imported run brings; None for a run that was trained here.

    Raises:
        HarnessError: the file is damaged.
    """
    path = cell.path(DATASET)
    table = read_json(path)
    try:
        return None if table is None else DatasetCard.model_validate(table)
    except ValidationError as error:
        raise HarnessError(f"{explain(error, where=str(path))}; import the run again") from None


def _refuse_another(cell: Cell) -> None:
    """HarnessError where spec, result and fingerprint are not of one finished run that this version would name so."""
    spec, result = cell.spec, cell.result() or {}
    if result["algorithm"] != ALGORITHM:
        raise HarnessError(
            f"{cell.folder}: trained by version {result['algorithm']} of the code, which is now {ALGORITHM}; accepted: "
            f"runs of this version; take the harness that its {README} names"
        )
    try:
        found = fingerprint(RunSpec.from_table(spec["run"]))
    except (HarnessError, ValidationError, KeyError, TypeError, AttributeError) as error:
        raise HarnessError(f"{cell.path('spec.json')}: run: {' '.join(str(error).split())[:300]}") from None
    for name, said in (("settings", found), ("spec.json", spec["fingerprint"]), ("result.json", result["fingerprint"])):
        if said != cell.fingerprint:
            raise HarnessError(
                f"{cell.folder}: {MANIFEST} is of the run {cell.fingerprint}, its {name} of {said}; "
                f"{_again(cell.folder)}"
            )


def _again(folder: Path) -> str:
    return f"copy or download {folder.name} again, or export the run anew"

"""The file of results that a contributor commits to reports/results/: figures of finished runs, without the runs.

    {"format": 1, "by": "who trained them", "entries": [{"spec": {...}, "result": {...}}, ...]}

An entry is a run's spec.json and result.json, whose keys harness/ledger/schema.py explains: data set and its digest,
noise and the digest of the pairs, method, every setting, seed, selection, dev and test metrics, versions, commit,
device, when it finished. It lacks the digests of files that are not there, and what says where somebody works (host,
command, paths). This is the one place that says what such a file must be; `harness results check` and a test hold
every committed file against it.
"""

import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import HarnessError
from harness.evaluation.measures import RECALLS
from harness.files import read_json, write_json
from harness.grids.rooms import folders
from harness.ledger import Cell, Ledger, schema
from harness.spec import RunSpec, fingerprint
from harness.spec.explain import explain
from harness.spec.fingerprint import ALGORITHM

FORMAT = 1
FOLDER = "results"  # of the room reports/
SYSTEM = re.compile(r"^([A-Za-z]+)-.*?-(x86_64|amd64|aarch64|arm64)\b.*$", re.IGNORECASE)  # of a platform's name
PRIVATE = ("hostname", "command", "slurm_job")  # of an environment; and the paths of imported files


class Entry(BaseModel):
    """One finished run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: dict[str, Any]
    result: dict[str, Any]


class Results(BaseModel):
    """A file of results."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    by: Annotated[str, Field(min_length=1, max_length=80, pattern=r"^\S.*$")]
    entries: Annotated[list[Entry], Field(min_length=1)]


@dataclass(frozen=True)
class Contributed:
    """A run of a file of results. `cell` has its spec and result, and no other file."""

    by: str
    cell: Cell


def collect(cells: Iterable[Cell], by: str) -> Results:
    """The figures of the finished ones among `cells` that scored the test split, in the order of grid and name.

    Raises:
        HarnessError: there is none, or what there is does not hold (see `read_results`).
    """
    found = []
    for cell in sorted(cells, key=lambda cell: (cell.spec["grid"], cell.name, cell.fingerprint)):
        result = cell.result()
        if result is not None and result["test"]:
            found.append(Entry(spec=cell.spec, result=_public(result)))
    if not found:
        raise HarnessError("no finished run with test figures; accepted: at least one; `harness status` says what runs")
    return _checked({"format": FORMAT, "by": by, "entries": [each.model_dump() for each in found]}, Path("results"))


def write_results(results: Results, path: Path) -> None:
    """Write the file, atomically; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, results.model_dump())


def read_results(path: Path) -> Results:
    """A file of results.

    Raises:
        HarnessError: it is none, or of a later version; an entry lacks a key, is there twice, names a run whose
            settings have another fingerprint, or its recalls are no percents or do not add up to rSum.
    """
    table = read_json(path)
    if table is None:
        raise HarnessError(f"{path}: there is no such file; `harness results collect --out` makes one")
    return _checked(table, path)


def files_of(paths: Sequence[Path]) -> list[Path]:
    """The files of results among `paths`, of a folder all of it; where none are given, those of reports/results/.

    Raises:
        HarnessError: there are none.
    """
    given = list(paths) or [place / FOLDER for place in folders("reports") if (place / FOLDER).is_dir()][:1]
    found = [file for path in given for file in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    if not found:
        where = ", ".join(map(str, given)) or f"reports/{FOLDER}"
        raise HarnessError(f"{where}: no file of results; `harness results collect --out` makes one")
    return found


@contextmanager
def as_ledgers(files: Iterable[Path]) -> Iterator[list[Contributed]]:
    """The runs of some files, as cells that are there while the block lasts; each file is a ledger of its own."""
    with tempfile.TemporaryDirectory(prefix="results-") as folder:
        runs = []
        for number, file in enumerate(files):
            results = read_results(file)
            runs += [Contributed(results.by, cell) for cell in restore(results, Ledger(Path(folder) / str(number)))]
        yield runs


def restore(results: Results, ledger: Ledger) -> list[Cell]:
    """Write each entry into a ledger as a finished cell without arrays."""
    cells = []
    for entry in results.entries:
        cell = ledger.add({key: value for key, value in entry.spec.items() if key != "format"})
        cell.write_result({key: value for key, value in entry.result.items() if key != "format"})
        cells.append(cell)
    return cells


def _public(result: dict[str, Any]) -> dict[str, Any]:
    environment = {key: value for key, value in result["environment"].items() if key not in PRIVATE}
    if environment.get("platform"):
        environment["platform"] = SYSTEM.sub(r"\1 \2", environment["platform"])  # a kernel's build may name a place
    if environment.get("imported"):
        environment["imported"] = [
            {key: value for key, value in each.items() if key != "file"} for each in environment["imported"]
        ]
    return {**{key: value for key, value in result.items() if key != "files"}, "environment": environment}


def _checked(table: Any, path: Path) -> Results:
    found = table.get("format") if isinstance(table, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise HarnessError(f"{path}: has format {found}, written by a newer version of harness; update")
    try:
        results = Results.model_validate(table)
    except ValidationError as error:
        raise HarnessError(explain(error, where=str(path), accepted=Results.model_fields)) from None
    seen: set[str] = set()
    for number, entry in enumerate(results.entries):
        where = Path(f"{path}: entry {number + 1}")  # counted from 1; a path, as the ledger's schema words its faults
        try:
            fault = _fault(schema.SPEC.read(entry.spec, where), schema.RESULT.read(entry.result, where), seen)
        except HarnessError as error:
            said = str(error).partition("; the file is damaged")[0]
            raise HarnessError(said if said.startswith(str(where)) else f"{where}: {said}") from None
        if fault:
            raise HarnessError(f"{where}: {fault}; `harness results collect` writes files that hold")
    return results


def _fault(spec: dict[str, Any], result: dict[str, Any], seen: set[str]) -> str:
    """Why an entry is not what a run of its settings gives, or ""."""
    name = spec["fingerprint"]
    if name in seen:
        return f"the run {name} is there twice"
    seen.add(name)
    if result["fingerprint"] != name:
        return f"spec is of the run {name}, result of {result['fingerprint']}"
    if private := [key for key in (*PRIVATE, "files") if key in {**result["environment"], **result}]:
        return f"{private[0]}: says where somebody works, or what is not here; accepted: a file without it"
    if result["algorithm"] == ALGORITHM and (other := _name(spec)) != name:
        return f"its settings are those of the run {other}, not of {name}"
    if not result["test"]:
        return "test: is empty; accepted: figures of the test split"
    for protocol, metrics in result["test"].items():
        recalls = [metrics.get(key) for key in RECALLS]
        if any(value is None or not 0 <= value <= 100 for value in recalls):
            return f"test.{protocol}: accepted: {', '.join(RECALLS)} in percent"
        if abs(sum(value for value in recalls if value is not None) - (metrics.get("rsum") or 0)) > 1e-6:
            return f"test.{protocol}.rsum = {metrics.get('rsum')}: is not the sum of the six recalls"
    return ""


def _name(spec: dict[str, Any]) -> str:
    """The fingerprint that the settings have; of a component of another package, which is not here, the stated one."""
    if "members" in spec:
        return hashlib.sha256("+".join(sorted(spec["members"])).encode()).hexdigest()[:16]
    try:
        run = RunSpec.from_table(spec["run"])
        components = (run.noise, run.backbone, run.method)
    except (ValidationError, KeyError, TypeError, AttributeError) as error:
        raise HarnessError(f"spec.run: {' '.join(str(error).split())[:200]}") from None
    return str(spec["fingerprint"]) if any(":" in each.name for each in components) else fingerprint(run)

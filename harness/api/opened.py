"""One run of a ledger, opened: its figures, its epochs, its labels, its pairs, its networks."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.api.evaluating import evaluate_run
from harness.api.tables import curves_of
from harness.errors import HarnessError
from harness.ledger import Cell, Ledger
from harness.ledger.command import made_by
from harness.spec import RunSpec

if TYPE_CHECKING:
    from harness.audit import Audit
    from harness.backbones import Backbone


class Run:
    """One run, finished or not. A training pair's id is the row of its caption in the training split.

    Attributes:
        cell: its folder in the ledger.
        data: folder of the data sets; `pairs` and `audit` read the run's there.
    """

    def __init__(self, cell: Cell, data: str | Path = "data") -> None:
        self.cell = cell
        self.data = Path(data)

    def __repr__(self) -> str:
        return f"<Run {self.fingerprint} {self.name!r}, {self.state}>"

    @property
    def fingerprint(self) -> str:
        """16 hex digits, the name of the run's folder."""
        return self.cell.fingerprint

    @property
    def name(self) -> str:
        """What its grid calls it."""
        return self.cell.name

    @property
    def state(self) -> str:
        """waiting, running, interrupted, failed or done."""
        return self.cell.state()

    @cached_property
    def spec(self) -> RunSpec:
        """Every setting: `run.spec.method.parameters["beta"]`, `run.spec.schedule.lr`."""
        return RunSpec.from_table(self.cell.spec["run"])

    @property
    def result(self) -> dict[str, Any]:
        """The figures at the end, as in result.json: `run.result["test"]["1k"]["rsum"]`. harness/ledger/schema.py
        explains every key.

        Raises:
            HarnessError: the run is not finished.
        """
        result = self.cell.result()
        if result is None:
            raise HarnessError(f"{self._here}: is {self.state}; accepted: a finished run; {self._again}")
        return result

    def curves(self) -> pd.DataFrame:
        """A row for each finished epoch, as `harness.curves` has it."""
        return curves_of(self.cell)

    def labels(self) -> NDArray[np.floating]:
        """(pairs,) correspondence labels in [0, 1] at the end of training, by pair id.

        Raises:
            HarnessError: the run is not finished, or its method keeps no labels.
        """
        method = self.spec.method.name
        return np.asarray(np.load(self._file("labels.npy", f"{method} keeps no labels; `pairs` has match instead")))

    def pairs(self) -> pd.DataFrame:
        """The training pairs: a row for each, by pair id.

        Returns:
            By column: `caption`, as the method saw it; `image`, the id of the image that it was paired with; `clean`,
            whether they belong together, missing where nobody knows; `label` in [0, 1], NaN for a method without;
            `similarity` of the selected network; `match`, the probability in [0, 1] that it gives to the pair among a
            batch; `rank`, 1 for the pair that the run distrusts most (as `harness audit` ranks them).

        Raises:
            HarnessError: the run is not finished or an ensemble, or its data are not there or others now.
        """
        from harness.audit.audit import finished_run
        from harness.audit.evidence import gather
        from harness.audit.ranking import rank
        from harness.training.data import open_for
        from harness.training.machine import Machine

        run = finished_run(self.cell)
        evidence = gather(self.cell, run, open_for(run, self.data), Machine().torch_device())
        split, pairs = evidence.pairs.split, evidence.pairs
        ranks = np.empty(len(pairs), np.int64)
        ranks[rank(evidence.label, evidence.match, evidence.similarity).order] = np.arange(1, len(pairs) + 1)
        clean = pairs.clean if evidence.known else [pd.NA] * len(pairs)
        columns = {
            "caption": split.texts,
            "image": [split.image_ids[image] for image in pairs.paired_image],
            "clean": pd.array(clean, dtype="boolean"),
            "label": np.nan if evidence.label is None else evidence.label,
            "similarity": evidence.similarity,
            "match": evidence.match,
            "rank": ranks,
        }
        return pd.DataFrame(columns).rename_axis("pair")

    def network(self) -> "Backbone":
        """The selected network, a `torch.nn.Module` on the CPU in evaluation mode.

        Raises:
            HarnessError: the run is not finished, or trained several networks: see `networks`.
        """
        networks = self.networks()
        if len(networks) > 1:
            raise HarnessError(
                f"{self._here}: trained {len(networks)} networks, which score together; accepted: networks(), "
                "whose similarities are averaged"
            )
        return networks[0]

    def networks(self) -> "list[Backbone]":
        """All networks that the run trained side by side. What is scored is the mean of their similarities.

        Raises:
            HarnessError: the run is not finished, or is an ensemble, which has none of its own.
        """
        from harness.backbones.weights import load_networks

        return load_networks(self._file("model.safetensors", "an ensemble has no network of its own; open its members"))

    def evaluate(self, dataset: str = "", *, split: str = "test", device: str = "auto") -> dict[str, dict[str, float]]:
        """The selected networks scored on a data set, as `harness evaluate` does: protocol -> metric -> value, recalls
        in percent.

        Args:
            dataset: a name in the run's data folder; the run's own where left out.
            split: "dev" or "test".
            device: "auto", "cpu", "cuda", "cuda:1" or "mps".

        Raises:
            HarnessError: the run is not finished, or an ensemble; the data are not there or do not fit.
        """
        return evaluate_run(self.cell, dataset, data=self.data, split=split, device=device)

    def export(self, out: str | Path) -> Path:
        """Write the run to a new folder that needs no other, as `harness export` does.

        Raises:
            HarnessError: the run is not finished, or an ensemble; its data are not there; there is something at `out`.
        """
        from harness.sharing.export import export_run

        return export_run(self.cell, self.data, Path(out))

    def audit(
        self, out: str | Path = "out", *, top: int = 200, images: str | Path | None = None, device: str = "auto"
    ) -> "Audit":
        """Rank the training pairs and write a page, a table and a summary, as `harness audit` does.

        Args:
            out: folder in which `audit-<fingerprint>/` is made.
            top: how many of the lowest pairs get a card and their best alternatives.
            images: folder or zip archive of the pictures, by image id.
            device: "auto", "cpu", "cuda", "cuda:1" or "mps".

        Raises:
            HarnessError: as for `pairs`; the pictures cannot be read.
        """
        from harness.audit import write_audit
        from harness.training.machine import Machine

        pictures = None if images is None else Path(images)
        return write_audit(self.cell, self.data, Path(out), top=top, images=pictures, machine=Machine(device))

    @property
    def _here(self) -> str:
        return f"{self.cell.folder}: {self.name}"

    @property
    def _again(self) -> str:
        return f"`{made_by(self.cell.spec)}` trains what is missing"

    def _file(self, name: str, otherwise: str) -> Path:
        """A file of a finished run; `otherwise`: why a finished run may lack it."""
        path = self.cell.file(name)
        if path is None:
            _ = self.result  # is it finished?
            raise HarnessError(f"{self._here}: has no {name}: {otherwise}")
        return path


def open(folder: str | Path, word: str | None = None, *, data: str | Path = "data") -> Run:
    """A run of a ledger, or one that was exported.

    Args:
        folder: the runs folder; or, without `word`, the folder that `harness export` made, every file of which is
            checked.
        word: the beginning of the run's fingerprint, or its whole name.
        data: folder of the data sets; only read for the run's pairs, and to score it.

    Raises:
        HarnessError: no run fits, or several do; the exported folder is damaged.
    """
    return Run(open_cell(Path(folder), word), data)


def open_cell(folder: Path, word: str | None = None) -> Cell:
    """The cell of `open`."""
    from harness.sharing.folder import MANIFEST, is_exported, open_exported

    if word is not None:
        return Ledger(folder).find(word)
    if is_exported(folder):
        return open_exported(folder)
    if not (folder / "spec.json").is_file():
        raise HarnessError(
            f"{folder}: has neither {MANIFEST} nor spec.json; accepted: a folder that `harness export` made, or that "
            "of one run; of a folder of runs, the run's fingerprint too"
        )
    return Cell(folder.resolve())

"""The runs behind the reports, each read from the ledger once."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.grids import CellSpec
from harness.ledger import Cell, Ledger
from harness.reporting.rendered import Listing, Rendered
from harness.spec import RunSpec

FINGERPRINT = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Run:
    """A planned run, finished or not.

    Attributes:
        cell: its folder, which a run that has not begun does not have.
        result: the ledger's result.json, {} while the run is not finished.
        failure: why it failed, in one line, or "".
        link: URL of its MLflow run, or "".
    """

    spec: CellSpec
    cell: Cell
    state: str
    result: dict[str, Any]
    failure: str
    link: str

    @property
    def fingerprint(self) -> str:
        return self.spec.fingerprint

    @property
    def full_name(self) -> str:
        """Its grid and its name; what has not begun has no grid yet."""
        begun = self.cell.path("spec.json").exists()
        return f"{self.cell.spec['grid']}: {self.spec.name}" if begun else self.spec.name

    @property
    def environment(self) -> dict[str, Any]:
        return self.result.get("environment") or {}

    @property
    def seconds(self) -> float:
        return self.result.get("seconds") or 0.0

    def score(self, metric: str, split: str, protocol: str) -> float | None:
        """One metric of the selected network."""
        scored = self.result.get("dev") if split == "dev" else self.result.get("test", {}).get(protocol)
        return (scored or {}).get(metric)


Runs = dict[str, Run]  # by fingerprint


def read_runs(specs: Iterable[CellSpec], ledger: Ledger, links: Mapping[str, str]) -> Runs:
    """Every run once, in the order given."""
    found: Runs = {}
    for spec in specs:
        if spec.fingerprint not in found:
            cell = ledger.cell(spec.fingerprint)
            state = cell.state()
            result = cell.result() or {} if state == "done" else {}
            failure = (cell.failure() or {}).get("error", "") if state == "failed" else ""
            found[spec.fingerprint] = Run(spec, cell, state, result, failure, _web(links.get(spec.fingerprint, "")))
    return found


def specs_of(rendered: Rendered, ledger: Ledger) -> list[CellSpec]:
    """The runs that a report plans; of a search, which plans none, those that its trials name."""
    rows = [row for group in rendered.page.groups for row in group.rows] if rendered.page else []
    specs = [*rendered.cells, *(spec for row in rows for spec in row.planned)]
    if not specs and rendered.listing:
        specs = _named(rendered.listing, ledger)
    return list({spec.fingerprint: spec for spec in specs}.values())


def _named(listing: Listing, ledger: Ledger) -> list[CellSpec]:
    words = [word for row in listing.rows for word in row if FINGERPRINT.fullmatch(word)]
    cells = [ledger.cell(word) for word in words if ledger.cell(word).path("spec.json").exists()]
    return [CellSpec(c.name, c.spec["labels"], RunSpec.from_table(c.spec["run"]), c.fingerprint) for c in cells]


def _web(link: str) -> str:
    """A link that may stand in an href: nothing that a browser would run."""
    return link if link.startswith(("http://", "https://")) else ""

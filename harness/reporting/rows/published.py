"""The numbers as printed: `published/*.csv` beside the reports, one row per method, backbone, kind and rate of noise.

A row's `status` says how far it is to be trusted: printed (in a table of the authors'), quoted (somebody quotes it),
secondary (a later paper's or a listing's copy), rerun (a log, or another paper's run of the method), wrong (known to
be, see its note). A wrong row is kept so that nobody adds it again, and never used. Where a source prints no rSum it is
the recalls' sum.

A row's `noise_kind` says what our number must have trained on to be held against it. Rows of the kind `mixed` are of
tables that copy image-level numbers beside caption-level ones; those of `unstated` do not say. A report may show
either, and gives no difference from ours.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.errors import HarnessError
from harness.evaluation.measures import RECALLS
from harness.grids import PlannedCell
from harness.reporting.declaration import PublishedTable

AGREE = 0.15  # rSum by which two sources of one number may differ, from rounding
KEYS = ("dataset", "protocol", "noise_kind", "rate", "method", "backbone")
COLUMNS = (*KEYS, "printed_name", *RECALLS, "rsum", "status", "source", "note")


@dataclass(frozen=True)
class PublishedValue:
    """One row as printed; a metric that its source does not give is absent."""

    metrics: dict[str, float]
    printed_name: str
    status: str
    source: str
    note: str

    @property
    def footnote(self) -> str:
        return f"{self.source}: {self.note}" if self.note else self.source


def read_published(path: Path) -> pd.DataFrame:
    """A file of published numbers.

    Raises:
        HarnessError: it is not there, or has other columns.
    """
    try:
        rows = pd.read_csv(path, keep_default_na=False, na_values={c: [""] for c in ("rate", *RECALLS, "rsum")})
    except FileNotFoundError:
        have = ", ".join(sorted(p.name for p in path.parent.glob("*.csv")))
        raise HarnessError(f"published.file: {path} does not exist; there are: {have or 'none'}") from None
    if tuple(rows.columns) != COLUMNS:
        raise HarnessError(f"{path}: its columns are {', '.join(rows.columns)}; they must be {', '.join(COLUMNS)}")
    return rows


class Published:
    """The published numbers that one report may show: one dataset, one protocol, one kind of noise."""

    def __init__(self, spec: PublishedTable, folder: Path, *, dataset: str, protocol: str) -> None:
        """Raises HarnessError when the file is about another dataset than the runs."""
        self.spec = spec
        self.path = folder / "published" / spec.file
        rows = read_published(self.path)
        others = [] if dataset in spec.datasets else sorted(set(rows["dataset"]) - {dataset})
        if others:
            raise HarnessError(
                f"{self.path}: holds numbers on {', '.join(others)}, but the runs are on {dataset}, so they are not "
                "comparable; name another published.file or drop [published]"
            )
        kind = (rows["noise_kind"] == spec.noise_kind) | ((rows["noise_kind"] == "none") & (rows["rate"] == 0))
        self.rows = rows[kind & (rows["protocol"] == protocol) & rows["status"].isin(spec.accept)]

    def of_run(self, planned: PlannedCell) -> PublishedValue | None:
        """What is printed for a planned run.

        Raises:
            HarnessError: its noise is of another kind than the report compares with.
        """
        noise = planned.run.noise
        rate = noise.parameters.get("rate")
        if rate and self.spec.comparable and noise.name not in (self.spec.noise_kind, *self.spec.noise_models):
            raise HarnessError(
                f"{self.path}: the report compares with {self.spec.noise_kind} noise, but cell '{planned.name}' has "
                f"{noise.name}, so they are not comparable; choose other cells with where or drop [published]"
            )
        rate = None if self.spec.noise_kind == "real" else rate
        return self.find(planned.run.method.name, planned.run.backbone.name, rate)

    def find(self, method: str, backbone: str, rate: float | None) -> PublishedValue | None:
        """What is printed for these, or None where nothing is sourced.

        Raises:
            HarnessError: sources of the same standing disagree and the report does not say which to take.
        """
        at = self.rows["rate"].isna() if rate is None else (self.rows["rate"] - rate).abs() < 1e-9
        found = self.rows[at & (self.rows["method"] == method) & (self.rows["backbone"] == backbone)]
        for status in self.spec.accept:
            candidates = found[found["status"] == status]
            for word in self.spec.sources:
                named = candidates[candidates["source"].str.contains(word, regex=False)]
                candidates = named if len(named) else candidates
            if candidates["rsum"].max() - candidates["rsum"].min() > AGREE:
                said = "; ".join(f"{row.rsum:g} ({row.source})" for row in candidates.itertuples())
                at_rate = "" if rate is None else f" at rate {rate:g}"
                raise HarnessError(
                    f"{self.path}: {method}, {backbone}{at_rate}: sources disagree: {said}; "
                    "say which in published.sources of the report"
                )
            if len(candidates):
                return _value(candidates.iloc[0])
        return None


def _value(row: pd.Series) -> PublishedValue:
    metrics = {name: float(row[name]) for name in (*RECALLS, "rsum") if pd.notna(row[name])}
    return PublishedValue(metrics, row["printed_name"], row["status"], row["source"], row["note"])

"""Finished runs as tidy records: one row per cell, split and evaluation protocol."""

from collections.abc import Iterable

import pandas as pd

from harness.evaluation.measures import MEASURES
from harness.ledger import Cell

DEV = "dev"  # stands as the protocol of the dev split, which has one only

SETTINGS = ("dataset", "noise_kind", "rate", "backbone", "method", "seed", "selection")
COLUMNS = (
    *("fingerprint", "grid", "cell", *SETTINGS, "split", "protocol", *MEASURES),
    *("label_auc", "realised_rate", "seconds", "device", "dataset_digest"),
)


def frame(cells: Iterable[Cell]) -> pd.DataFrame:
    """The results of all finished cells among `cells`; recalls in percent, rSum their sum, time in seconds.

    A metric that a run does not have is NaN. The rows come in the order of the cells, test before dev.
    """
    records = [record for cell in cells for record in _records(cell)]
    return pd.DataFrame(records, columns=list(COLUMNS))


def _records(cell: Cell) -> list[dict[str, object]]:
    result = cell.result()
    if result is None:  # not there, or not finished
        return []
    run = cell.spec["run"]
    about = {
        "fingerprint": cell.fingerprint,
        "grid": cell.spec["grid"],
        "cell": cell.name,
        "dataset": run["dataset"],
        "noise_kind": run["noise"]["name"],
        "rate": run["noise"].get("rate"),
        "backbone": run["backbone"]["name"],
        "method": run["method"]["name"],
        "seed": run["seed"],
        "selection": run["evaluation"]["selection"],
        "label_auc": result.get("labels", {}).get("labels/auc"),
        "realised_rate": result.get("noise", {}).get("realised_rate"),
        "seconds": result.get("seconds"),
        "device": result.get("environment", {}).get("device"),
        "dataset_digest": result.get("dataset", {}).get("digest"),
    }
    scored = [("test", protocol, metrics) for protocol, metrics in result["test"].items()]
    scored += [("dev", DEV, result["dev"])] if result.get("dev") else []
    return [
        {**about, "split": split, "protocol": protocol, **{key: metrics.get(key) for key in MEASURES}}
        for split, protocol, metrics in scored
    ]

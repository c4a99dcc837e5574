"""The first look at an experiment: which columns its list of runs has, and which charts stand first.

By itself MLflow shows neither settings nor figures in the list, and draws all metrics by the alphabet. A saved view, a
tag of the experiment, says otherwise; MLflow 3 offers it in its menu of views and opens it by its key in the address.
"""

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from harness.tracking.records import Point
from harness.tracking.store import Store

VIEW = "harness"  # its key in an address: ?viewStateShareKey=harness
TAG = f"mlflow.sharedViewState.{VIEW}"
NOTE = "mlflow.note.content"
FIRST = ("dev/rsum", "labels/auc", "train/loss")  # charts over the epochs, behind the bars of test


def show_columns(store: Store, experiment: str, labels: Mapping[str, Any], points: Iterable[Point]) -> None:
    """See that the experiment has a view with the columns of a finished run: its axes, and the figures that count.

    Args:
        labels: of the cell, by axis.
        points: the figures at its end.
    """
    if experiment in store.viewed:
        return
    test = [point.key for point in points if point.key.startswith("test/") and point.key.endswith("rsum")]
    state = view(test, list(labels))
    tags = store.client.get_experiment(experiment).tags
    if TAG not in tags or json.loads(tags[TAG])["state"] != json.dumps(state):
        now = round(1000 * time.time())
        saved = {
            "name": "harness: figures and settings",
            "createdAt": now,
            "updatedAt": now,
            "state": json.dumps(state),
        }
        store.client.set_experiment_tag(experiment, TAG, json.dumps(saved))
    store.viewed.add(experiment)


def view(test: list[str], axes: list[str]) -> dict[str, Any]:
    """What MLflow's page keeps of a view: columns and charts."""
    columns = [f"metrics.`{key}`" for key in (*test, "dev/rsum_selected", "labels/auc")] + [
        f"tags.`axis.{axis}`" for axis in axes
    ]
    charts = [_chart("BAR", key) for key in test] + [_chart("LINE", key) for key in FIRST]
    return {
        "orderByKey": columns[0],
        "orderByAsc": False,
        "selectedColumns": columns,
        "compareRunCharts": charts,
        "compareRunSections": [
            {"uuid": "figures", "name": "Figures", "display": True, "isReordered": False, "deleted": False}
        ],
        "isAccordionReordered": True,  # else the sections of all other metrics are sorted among ours
        "viewMaximized": False,
    }


def _chart(kind: str, key: str) -> dict[str, Any]:
    chart = {"type": kind, "uuid": f"harness-{key}", "deleted": False, "isGenerated": False, "metricKey": key}
    chart |= {"metricSectionId": "figures", "runsCountToCompare": 20, "displayName": key}
    if kind == "LINE":
        chart |= {"selectedMetricKeys": [key], "xAxisKey": "step", "scaleType": "linear", "yAxisKey": "metric"}
        chart |= {
            "lineSmoothness": 0,
            "useGlobalXaxisKey": False,
            "useGlobalLineSmoothing": True,
            "yAxisExpressions": [],
        }
    return chart

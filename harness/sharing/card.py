"""The model card of an exported run: front matter as Hugging Face reads it, then the same for people."""

import json
import re
from typing import Any

from harness.data.cards import DatasetCard
from harness.evaluation.measures import MEASURES, RECALLS
from harness.evaluation.protocols import PROTOCOLS
from harness.ledger import Cell
from harness.printing.markdown import markdown
from harness.printing.numbers import percent, short
from harness.printing.table import Block, Section, Table, number, plain
from harness.spec import RunSpec
from harness.tracking.records import flatten

COLUMNS = (*RECALLS, "rsum")
CREATIVE_COMMONS = re.compile(r"cc[- ](by(?:-n[cd]|-sa)*)[- ](\d\.\d)", re.IGNORECASE)
TASK = {"type": "image-text-retrieval", "name": "Image-text retrieval"}

LOAD = """```python
import harness

run = harness.open("FOLDER", data="data")  # checks every file
network = run.network()  # a torch.nn.Module; run.networks() where several were trained
print(run.evaluate())  # the numbers above again, where the data set is in data/
```"""
SHELL = """```sh
harness evaluate FOLDER DATASET  # score it on a data set in data/
harness import FOLDER  # take it into a ledger, as a finished run
```"""


def model_card(cell: Cell, run: RunSpec, result: dict[str, Any], card: DatasetCard, name: str) -> str:
    """README.md of an exported run; `name` is the folder's."""
    return (
        f"---\n{_front(cell, run, result, card)}---\n\n"
        + markdown(
            Section(f"{run.method.name} on {card.name}", [_about(run, result, card)], level=1),
            Section("Numbers", _numbers(result)),
            Section("How it was trained", [_settings(run), _how(cell, run, result)]),
            Section("Licence", [_licence(card)]),
            Section("How to load it", [f"With CRCL Harness {result['environment'].get('harness', '')} or newer:"]),
        )
        + "\n".join(["", LOAD, "", SHELL, ""]).replace("FOLDER", name).replace("DATASET", run.dataset)
    )


def licence_id(licence: str) -> str:
    """The hub's identifier of a Creative Commons licence that a text names; else "other"."""
    found = CREATIVE_COMMONS.search(licence)
    return f"cc-{found[1].lower()}-{found[2]}" if found else "other"


def _front(cell: Cell, run: RunSpec, result: dict[str, Any], card: DatasetCard) -> str:
    """YAML, each value written as JSON, which YAML reads."""
    licence = licence_id(card.licence)
    named = {"license_name": "of-the-data", "license_link": "#licence"} if licence == "other" else {}
    values: dict[str, Any] = {
        "license": licence,
        **named,
        "library_name": "crcl-harness",
        "tags": ["image-text-retrieval", "cross-modal-retrieval", "noisy-correspondence", run.method.name],
        "datasets": [card.name],
        "metrics": ["recall"],
        "model-index": [
            {
                "name": cell.name,
                "results": [
                    {
                        "task": TASK,
                        "dataset": {"type": card.name, "name": card.title or card.name, "split": "test"},
                        "metrics": [
                            {"type": key, "name": f"{MEASURES[key].title} ({protocol})", "value": value}
                            for key, value in metrics.items()
                            if key in COLUMNS and value is not None
                        ],
                    }
                    for protocol, metrics in result["test"].items()
                ],
            }
        ],
    }
    return "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())


def _about(run: RunSpec, result: dict[str, Any], card: DatasetCard) -> str:
    rate = result["noise"]["realised_rate"]
    noise = (
        f"The training pairs carry the noise `{run.noise.name}`: {percent(rate)} of them are wrong"
        if rate
        else "No noise was put into the training pairs"
    )
    real = ", besides those that were wrong as they were found" if card.noise == "real" else ""
    only = "; trained on the right ones alone" if run.oracle else ""
    return (
        f"A network that scores images against texts: backbone `{run.backbone.name}`, method `{run.method.name}`, seed "
        f"{run.seed}. Trained on {card.title or card.name}: {result['dataset']['pairs']:,} pairs of "
        f"{result['dataset']['images']:,} images. {noise}{real}{only}; noise.npy says which image each caption was "
        "trained with."
    )


def _numbers(result: dict[str, Any]) -> list[Block]:
    rows = [(f"test, {name}", metrics) for name, metrics in result["test"].items()]
    rows += [("dev", result["dev"])] if result["dev"] else []
    titles = ["Split", *(MEASURES[key].title for key in COLUMNS)]
    table: Table = plain(
        titles, [[words, *(number(metrics.get(key)) for key in COLUMNS)] for words, metrics in rows],
        numbers=range(1, len(titles)),
    )  # fmt: skip
    said = [f"{name}: {PROTOCOLS[name].title}." for name in result["test"] if name in PROTOCOLS]
    optimistic = result["dataset"].get("test_is_dev")
    said += ["There is no test split: dev chose the epoch and is scored as test."] if optimistic else []
    return [f"Recalls in percent; the epoch was selected by `{result['selection']}`, on dev alone.", table, said]


def _settings(run: RunSpec) -> Table:
    rows = [[f"`{key}`", f"`{short(value)}`"] for key, value in flatten(run.table())]
    return plain(["Setting", "Value"], rows)


def _how(cell: Cell, run: RunSpec, result: dict[str, Any]) -> list[str]:
    there = result["environment"]
    versions = [f"{name} {there[name]}" for name in ("harness", "python", "torch") if there.get(name)]
    notes = [
        f"Fingerprint `{cell.fingerprint}`, of all that the numbers depend on.",
        f"Trained with {', '.join(versions)}, commit {there.get('git_commit') or 'not recorded'}, on "
        f"{there.get('device', 'a device that was not recorded')}; finished {result['finished'][:10]}.",
        f"Data set digest `{result['dataset']['digest'][:16]}`: figures on other data are not comparable.",
        "environment.json has all versions, result.json all figures, vocabulary.json the words that it reads.",
    ]
    for origin in there.get("imported") or []:
        notes.append(f"The {origin['kind']} `{origin['name']}` is of another package, which is not in this folder.")
    if run.backbone.cls.reads_pixels:
        notes.append("It reads pictures; tokens and configuration come from `backbone.model`, not from this folder.")
    return notes


def _licence(card: DatasetCard) -> str:
    return (
        f"Licence of the data that it was trained on: {card.licence or 'not stated'}. Source of the data: "
        f"{card.source or 'not stated'}. Whoever passes the network on must respect it. The code is Apache-2.0."
    )

"""How often a training step waits for an accelerator: a number that may only shrink."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from host_syncs import counted
from test_testing import SHORT

from harness.backbones import gpo, graph, recurrent
from harness.errors import HarnessError
from harness.methods import METHODS
from harness.testing.toy import toy_run, toy_trainer

# Of the step that waits most: what a backbone waits for in a step of one pass (InfoNCE's), and a method beside it.
BACKBONES: dict[str, dict[str, int]] = {}
METHODS_BESIDE: dict[str, dict[str, int]] = {}


def most_syncs(method: str, backbone: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """By file, in the step that waits most."""
    for module in (gpo, graph, recurrent):
        monkeypatch.setattr(module, "plain_cpu", lambda _: False)  # the accelerator's way
    keywords = {**SHORT.get(method, {})}
    epochs: int | None = keywords.pop("epochs", 3)
    if method == "crcl":
        epochs = None
    trainer = toy_trainer(toy_run(method, keywords, backbone, epochs=epochs), folder)
    steps: list[Counter[str]] = []
    step = trainer.method.step

    def watched(*arguments: Any) -> dict[str, torch.Tensor]:
        with counted() as places:
            values: dict[str, torch.Tensor] = step(*arguments)
        steps.append(places)
        return values

    monkeypatch.setattr(trainer.method, "step", watched)
    trainer.fit()
    return dict(max(steps, key=Counter.total))

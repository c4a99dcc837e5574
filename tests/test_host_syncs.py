"""How often a training step waits for an accelerator: a number that may only shrink."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from host_syncs import counted
from test_testing import SHORT

from harness.backbones import encoders, gpo, graph, recurrent
from harness.methods import METHODS
from harness.testing.toy import toy_run, toy_trainer

# What one pass of a backbone waits for: the words' lengths, which a packed sequence needs on the host; for VSE-infinity
# how many regions are real; for SAF and SGR the lengths once more, to compare captions of one length together.
PASS: dict[str, dict[str, int]] = {
    "vse_infinity": {"backbones/encoders.py nonzero": 1, "backbones/recurrent.py cpu": 1},
    "saf": {"backbones/recurrent.py cpu": 1, "backbones/sgraf.py tolist": 1},
    "sgr": {"backbones/recurrent.py cpu": 1, "backbones/sgraf.py tolist": 1},
}
# Of each method the step that waits most: passes of VSE-infinity, and what the method waits for beside them.
STEP: dict[str, tuple[int, dict[str, int]]] = {
    "crcl": (1, {}),
    "triplet": (1, {}),
    "sum_hinge": (1, {}),
    "infonce": (1, {}),
    "rcl": (1, {}),
    "srem": (1, {"methods/srem.py __getitem__": 2}),  # the mean energy of the pairs that were seen
    "dcl": (1, {"methods/dcl.py cpu": 1}),  # the mixture of the batch is fitted on the host
    "tal": (1, {}),
    "osa": (1, {}),
    "decl": (1, {}),
    "l2rm": (4, {"methods/l2rm.py cpu": 3}),  # the plan is computed on the host
    "gsc": (1, {}),
    "ncr": (5, {}),
    "bicro": (5, {}),
    "mscn": (4, {}),
    "npc": (6, {"methods/npc.py cpu": 1}),  # the banks are read by the host
}


def most_syncs(method: str, backbone: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """By file, in the step that waits most."""
    for module in (encoders, gpo, graph, recurrent):
        monkeypatch.setattr(module, "plain_cpu", lambda _: False)  # the accelerator's way
    keywords = {**SHORT.get(method, {})}
    epochs: int | None = keywords.pop("epochs", 3)
    if method == "crcl":
        epochs = None
    trainer = toy_trainer(toy_run(method, keywords, backbone, epochs=epochs), folder)
    steps: list[Counter[str]] = []
    step = trainer.method.step

    def watched(*arguments: Any) -> dict[str, torch.Tensor]:
        with counted() as seen:
            values: dict[str, torch.Tensor] = step(*arguments)
        assert not seen.mixed
        steps.append(seen.places)
        return values

    monkeypatch.setattr(trainer.method, "step", watched)
    trainer.fit()
    return dict(max(steps, key=Counter.total))


def compared(found: dict[str, int], written: dict[str, int]) -> None:
    """Equal: fewer are to be written down, so that they do not come back."""
    assert found == written


@pytest.mark.parametrize("backbone", ["saf", "sgr"])
def test_a_pass_of_a_backbone(backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared(most_syncs("infonce", backbone, tmp_path, monkeypatch), PASS[backbone])


@pytest.mark.parametrize("method", [name for name in METHODS if name != "zero_shot"])  # which takes no step
def test_a_step_of_a_method(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes, beside = STEP[method]
    written = {place: passes * count for place, count in PASS["vse_infinity"].items()} | beside
    compared(most_syncs(method, "vse_infinity", tmp_path, monkeypatch), written)


def test_what_is_counted() -> None:
    device = torch.nn.Parameter(torch.ones(4))  # stands for the accelerator's
    with counted() as seen:
        (device * 2).sum().item()
        bool((device > 0).any())
        device.detach().cpu().numpy()  # once: what has come over is here
        device[device > 0]
        device.nonzero()
        host = torch.arange(3)
        host.tolist()
        int(host.sum())
        device[host]
        device.masked_fill(device > 0, 0.0)
        torch.where(device > 0, device, 0.0)
        torch.arange(4.0) * torch.tensor(2.0)
        device * torch.tensor(2.0)
    assert seen.places == {f"elsewhere {name}": 1 for name in ("item", "__bool__", "cpu", "__getitem__", "nonzero")}
    assert not seen.mixed


def test_what_would_fail_on_an_accelerator() -> None:
    device = torch.nn.Parameter(torch.ones(4))
    with counted() as seen:
        device * torch.arange(4)
        torch.where(torch.tensor([True] * 4), device, 0.0)
        torch.stack([device, torch.zeros(4)])
        device.index_select(0, torch.arange(2))
        device * torch.arange(4).to(device.device)  # `to` brings it over
    assert seen.mixed == {f"elsewhere {name}": 1 for name in ("mul", "where", "stack", "index_select")}

"""Every method, and toys that use each verb of the contract, pass the public suite; what is broken fails it."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import toy_methods

from harness.errors import HarnessError
from harness.methods import METHODS, Method
from harness.testing import CHECKS, check_method
from harness.testing.checks import Subject, same, written
from harness.training import checkpoint

ALONE = tuple(name for name in CHECKS if name != "two processes")  # those cost seconds, so they are tried less
SHORT: Mapping[str, dict[str, Any]] = {
    "crcl": {"pieces": (2, 2), "freeze_epochs": 1},
    "decl": {"warmup_epochs": 1},
    "tal": {"division": True},
    "l2rm": {"warmup_epochs": 1, "batch_size": 6},
    "ncr": {"warmup_epochs": 1},
    "bicro": {"warmup_epochs": 1},
    "srem": {"warmup_epochs": 1},
    "mscn": {"warmup_epochs": 1, "warmup_batch_size": 8, "meta_pairs": 6, "hidden": 4, "epochs": 2},
    "npc": {"warmup_epochs": 1, "threshold": 0.5, "tau": 0.1, "epochs": 2},
    "osa": {"estimator_epochs": 1, "epochs": 2},
}


# Steps ahead are dear, and `resume` takes one at each place: the slow tests have it, and the toys that step ahead too.
DEAR = ("mscn", "npc")
PEERS = ("ncr", "bicro")  # two networks, each step of both


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in PEERS else name for name in METHODS]
)
def test_every_method_passes(name: str) -> None:
    only = [title for title in ALONE if title != "resume" or name not in DEAR]
    check_method(name, only=only, **SHORT.get(name, {}))


@pytest.mark.long
@pytest.mark.parametrize("backbone", ["vse_infinity", "saf", "sgr"])
@pytest.mark.parametrize("name", METHODS)
def test_every_method_passes_all_with_every_backbone(name: str, backbone: str) -> None:
    check_method(name, backbone=backbone, **SHORT.get(name, {}))


@pytest.mark.long
@pytest.mark.parametrize("backbone", ["vse_infinity", "sgr"])
def test_two_networks_that_exchange_labels_pass(backbone: str) -> None:
    check_method("gsc", backbone=backbone, networks=2)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", [pytest.param("saf", marks=pytest.mark.long), "sgr"])
def test_crcl_passes_with_every_backbone(backbone: str) -> None:
    check_method("crcl", backbone=backbone, only=ALONE, **SHORT["crcl"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "backbone"),
    [
        (toy_methods.Swap, "vse_infinity"), (toy_methods.Parts, "saf"), (toy_methods.Ahead, "sgr"),
        (toy_methods.Siamese, "vse_infinity"), (toy_methods.Averages, "vse_infinity"),
        *(
            pytest.param(method, backbone, marks=pytest.mark.long)
            for method, backbone in [
                (toy_methods.Swap, "sgr"), (toy_methods.Parts, "sgr"), (toy_methods.Ahead, "saf"),
                (toy_methods.Averages, "saf"),
            ]
        ),
    ],
)  # fmt: skip
def test_a_method_with_each_verb_passes(method: type[Method], backbone: str) -> None:
    check_method(method, backbone=backbone, only=ALONE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "backbone"),
    [
        (toy_methods.Swap, "vse_infinity"),
        pytest.param(toy_methods.Averages, "saf", marks=pytest.mark.long),
        pytest.param("crcl", "vse_infinity", marks=pytest.mark.long),
        pytest.param(toy_methods.Parts, "sgr", marks=pytest.mark.long),
    ],
)  # fmt: skip
def test_two_processes_end_as_one(method: type[Method] | str, backbone: str) -> None:
    check_method(method, backbone=backbone, only=["two processes"], **SHORT.get(str(method), {}))


@pytest.mark.slow
def test_a_step_ahead_refuses_two_processes_in_one_line() -> None:
    check_method(toy_methods.Ahead, backbone="sgr", only=["two processes"])


@pytest.mark.parametrize(
    ("method", "check", "says"),
    [
        (toy_methods.Remembers, "memory", "the run changed mean of the method, which no checkpoint keeps"),
        (toy_methods.Remembers, "resume", "something survives a step that is in no checkpoint"),
        (toy_methods.Unnamed, "resume", "or is drawn without a name"),
        (toy_methods.WritesOthers, "rows", "changed the state 'seen' of pairs"),
        (toy_methods.NotFinite, "collapsed scores", "the loss of equal scores, all 0.0, is"),
        (toy_methods.NotFinite, "batch of one", "the loss of a batch of one pair is nan"),
        (toy_methods.Shares, "two processes", "is something computed on each from its own share alone"),
    ],
)
def test_a_broken_method_fails(method: type[Method], check: str, says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        check_method(method, only=[check])


def test_a_method_that_needs_its_second_feed_fails() -> None:
    with pytest.raises((AssertionError, AttributeError, TypeError)):
        check_method(toy_methods.NeedsNoisy, only=["empty feeds"])


@pytest.mark.parametrize("lost", ["plan", "state", "networks", "position", "meters", "best"])
def test_a_trainer_that_loses_something_fails(lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the checkpoint holds is needed, each part of it."""
    restore = checkpoint.restore

    def forgetful(trainer: Any, saved: Any) -> None:
        kept = {
            "plan": lambda: vars(trainer).update(plan=[]),
            "state": lambda: [values.copy_(values.whole() * 0 + 1) for values in trainer.state.values()],
            "networks": lambda: trainer._begin_phase(fresh=True),
            "position": lambda: setattr(trainer.at, "round", 0),
            "meters": lambda: vars(trainer.meters).update(_sums={}, _counts={}),
            "best": lambda: vars(trainer.best).update(rsum=float("inf")),
        }
        restore(trainer, saved)
        kept[lost]()

    monkeypatch.setattr(checkpoint, "restore", forgetful)
    with pytest.raises((AssertionError, HarnessError)):
        check_method(toy_methods.Swap, only=["resume"])


@pytest.mark.long
@pytest.mark.parametrize("name", METHODS)
def test_continued_to_the_end_it_ends_the_same(name: str, tmp_path: Path) -> None:
    """The slow twin of the check `resume`, which looks one checkpoint ahead."""
    kept: list[Path] = []

    def keep() -> None:
        kept.append(tmp_path / f"kept{len(kept)}" / whole.cell.folder.name)
        shutil.copytree(whole.cell.folder, kept[-1])

    subject = Subject(name, SHORT.get(name, {}), "vse_infinity", SHORT.get(name, {}).get("epochs", 3), tmp_path)
    whole = subject.trainer("whole", guard=keep)
    whole.fit()
    for folder in kept:
        torch.manual_seed(len(kept))
        subject.trainer(folder.parent.name).fit()
        assert same(written(folder), written(whole.cell.folder)), folder


def test_an_unknown_check_is_one_line() -> None:
    with pytest.raises(HarnessError, match=r"only = \['speed'\]: accepted: resume, memory, batch of one"):
        check_method("infonce", only=["speed"])

"""What is checked of a method, each a function whose AssertionError says what is wrong and where to look."""

import contextlib
import copy
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.errors import HarnessError
from harness.ledger import Cell
from harness.methods.base import Feed, Method, Progress
from harness.spec import RunSpec
from harness.spec.catalogue import find, name_of
from harness.testing.toy import toy_run, toy_trainer
from harness.training import checkpoint
from harness.training.state import PairValues
from harness.training.trainer import Trainer

SCORES = {"equal": 0.0, "high": 1.0, "low": -1.0}  # of collapsed networks


class Subject:
    """A method under test, with one backbone."""

    def __init__(self, method: str, parameters: Mapping[str, Any], backbone: str, epochs: int, folder: Path) -> None:
        self.method, self.parameters, self.backbone, self.folder = method, parameters, backbone, folder
        self.epochs: int | None = epochs
        try:
            self.make().phases(epochs, steps_per_epoch=4)
        except HarnessError:  # a method that brings its own length
            self.epochs = None

    def make(self) -> Method:
        """A fresh one."""
        method: Method = find("method", self.method)(**self.parameters)
        return method

    def run(self, **keywords: Any) -> RunSpec:
        return toy_run(self.method, self.parameters, self.backbone, epochs=self.epochs, **keywords)

    def trainer(self, name: str, **hooks: Any) -> Trainer:
        """A trainer in the folder `name`."""
        return toy_trainer(self.run(), self.folder / name, **hooks)


def check_method(
    method: type[Method] | str,
    *,
    backbone: str = "vse_infinity",
    epochs: int = 3,
    only: Sequence[str] = (),
    **parameters: Any,
) -> None:
    """Runs every check of `CHECKS`, or those in `only`, over a method.

    Args:
        method: the class, or the name that a spec gives it.
        backbone: "vse_infinity", "saf" or "sgr", all small.
        epochs: `schedule.epochs`, where the method does not bring its own length; enough to leave a warm-up.
        parameters: the method's keywords; such that a run on 22 pairs takes a second and uses all of the method.

    Raises:
        AssertionError: names the check and what it found.
        HarnessError: the method refuses its keywords or this backbone.
    """
    name = method if isinstance(method, str) else name_of("method", method)
    unknown = set(only) - set(CHECKS)
    if unknown:
        raise HarnessError(f"check_method: only = {sorted(unknown)}: accepted: {', '.join(CHECKS)}")
    for title, check in CHECKS.items():
        if only and title not in only:
            continue
        with TemporaryDirectory(prefix="harness-testing-") as folder:
            subject = Subject(name, parameters, backbone, epochs, Path(folder))
            try:
                check(subject)
            except AssertionError as error:
                raise AssertionError(f"{name}, {backbone}: {title}: {error}") from error


# -- the checks ----------------------------------------------------------------------------------------------------


def check_resume(subject: Subject) -> None:
    """Continued from each checkpoint, a run writes the next one as it did; so it ends as it did."""
    kept: list[Path] = []

    def keep() -> None:
        """Called before anything is written: what is there now is what a kill would leave."""
        folder = whole.cell.folder
        copied = subject.folder / f"kept{len(kept)}" / folder.name
        shutil.copytree(folder, copied)
        kept.append(copied)

    whole = subject.trainer("whole", guard=keep)
    whole.fit()
    following = written(whole.cell.folder)
    for number, folder in reversed(list(enumerate(kept))):
        begun, begun_bytes = written(folder), checkpoint_bytes(folder)
        # The global generators stand elsewhere than they did: whatever is drawn from them shows.
        torch.manual_seed(number)
        np.random.seed(number)
        _continue_to_the_next_checkpoint(subject, folder)
        found = written(folder)
        wrong = [what for what in following if not same(following[what], found.get(what))]
        assert not wrong, (
            f"continued from checkpoint {number} of {len(kept)} it goes on with other {', '.join(wrong)}: something "
            "survives a step that is in no checkpoint (an attribute of the method?), or is drawn without a name "
            "(use training.rng)"
        )
        if number and checkpoint_bytes(kept[number - 1]) != begun_bytes:  # else what follows both is the same
            following = begun


def check_memory(subject: Subject) -> None:
    """The method's attributes are after a run what they were before it."""
    trainer = subject.trainer("memory")
    before = copy.deepcopy(vars(trainer.method))
    trainer.fit()
    after = vars(trainer.method)
    changed = sorted(name for name in before.keys() | after.keys() if not same(before.get(name), after.get(name)))
    assert not changed, (
        f"the run changed {', '.join(changed)} of the method, which no checkpoint keeps: keep it as per-pair state, in "
        "a part, or in the plan"
    )


def check_batch_of_one(subject: Subject) -> None:
    """A batch of one pair gives a finite loss and a zero gradient."""
    method = subject.make()
    if type(method).loss is Method.loss:
        return
    scores = torch.tensor([[0.3]], requires_grad=True)
    loss = _loss(method, scores)
    assert torch.isfinite(loss), f"the loss of a batch of one pair is {loss.item()}"
    (gradient,) = torch.autograd.grad(loss, scores, allow_unused=True) if loss.requires_grad else (None,)
    assert gradient is None or not gradient.any(), (
        f"one pair has nothing to compare with, but its gradient is {gradient}"
    )


def check_collapsed(subject: Subject) -> None:
    """Scores that are all the same give no NaN, in the loss alone and in a whole run."""
    method = subject.make()
    if type(method).loss is not Method.loss:
        for name, value in SCORES.items():
            scores = torch.full((5, 5), value, requires_grad=True)
            loss = _loss(method, scores)
            assert torch.isfinite(loss), f"the loss of {name} scores, all {value}, is {loss.item()}"
            (gradient,) = torch.autograd.grad(loss, scores, allow_unused=True) if loss.requires_grad else (None,)
            assert gradient is None or gradient.isfinite().all(), f"the gradient of {name} scores is not finite"
    trainer = subject.trainer("collapsed")
    with torch.no_grad():
        for network in trainer.networks:
            for parameter in network.backbone.parameters():
                parameter.zero_()
    trainer.fit()  # a loss that is not finite is an error of its own


def check_rows(subject: Subject) -> None:
    """A step writes the per-pair state of its batch's pairs alone."""
    trainer = subject.trainer("rows")
    step = trainer.method.step

    def watched(training: Any, batch: Any, *others: Any) -> dict[str, Tensor]:
        before = {name: values.whole() for name, values in training.state.items()}
        values = step(training, batch, *others)
        touched = torch.zeros(training.pairs, dtype=torch.bool)
        for each in (batch, *others):
            if each is not None:
                inside = each.pair_ids[each.pair_ids < training.pairs]
                touched[inside] = True
        for name, was in before.items():
            now = training.state[name].whole()
            rows = torch.nonzero((now != was) & ~touched).flatten().tolist()
            assert not rows, f"a step changed the state {name!r} of pairs {rows[:5]}, which are not in its batch"
        return values

    trainer.method.step = watched  # type: ignore[method-assign]
    trainer.fit()


def check_empty_feeds(subject: Subject) -> None:
    """Without a pair in a further feed, or in the first, the run goes on."""
    for empty in (range(1, 10), range(1)):
        trainer = subject.trainer(f"empty{empty.start}")
        plan = trainer.method.plan
        emptied = [0]

        def without(
            training: Any, plan: Any = plan, empty: range = empty, emptied: list[int] = emptied
        ) -> Sequence[Feed]:
            feeds = list(plan(training))
            for number in empty:
                if number < len(feeds):
                    feeds[number] = replace(feeds[number], captions=feeds[number].captions[:0], images=None)
                    emptied[0] += 1
            return feeds

        trainer.method.plan = without  # type: ignore[method-assign]
        trainer.fit()
        dev = trainer.best.dev
        assert dev is not None
        assert np.isfinite(dev["rsum"]), "without pairs in a feed, dev rSum is not a number"


def check_two_processes(subject: Subject) -> None:
    """Two processes end with the weights and the state of one; a method may refuse them in one line."""
    alone, together = (subject.folder / name for name in ("alone.pt", "together.pt"))
    run = subject.run(several=True).model_dump_json()
    command = ["-m", "harness.testing.worker", run]
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    failed = _python(*command, str(alone))
    assert not failed, f"one process in float64: {failed}"
    refused = _python(*launcher, *command, str(together))
    if refused:
        assert refused.startswith("error: "), refused
        assert "processes" in refused, refused
        return
    one, two = (torch.load(path, weights_only=True) for path in (alone, together))
    for what in one:
        for name, values in one[what].items():
            other = two[what][name]
            close = torch.allclose(values.double(), other.double(), rtol=1e-6, atol=1e-7)
            assert close, (
                f"two processes end with another {what} {name} than one, by up to "
                f"{float((values - other).abs().max()):.2g}: is something computed on each from its own share alone, "
                "or fitted without training.agreed?"
            )


CHECKS: dict[str, Callable[[Subject], None]] = {
    "resume": check_resume,
    "memory": check_memory,
    "batch of one": check_batch_of_one,
    "collapsed scores": check_collapsed,
    "rows": check_rows,
    "empty feeds": check_empty_feeds,
    "two processes": check_two_processes,
}


# -- how -----------------------------------------------------------------------------------------------------------


class _Written(Exception):
    """A run has written what was waited for."""


def _continue_to_the_next_checkpoint(subject: Subject, folder: Path) -> None:
    begun = checkpoint_bytes(folder)

    def stop() -> None:
        if checkpoint_bytes(folder) != begun:
            raise _Written

    with contextlib.suppress(_Written):
        subject.trainer(folder.parent.name, guard=stop).fit()


def checkpoint_bytes(folder: Path) -> bytes:
    path = folder / "checkpoint.pt"
    return path.read_bytes() if path.exists() else b""


def written(folder: Path) -> dict[str, Any]:
    """What a cell folder holds of a run: its checkpoint and the rows up to it, without times."""
    saved = checkpoint.load(folder / "checkpoint.pt")
    if saved is None:
        return {}
    rows = [
        {**row, "time": 0, "seconds": 0, "system": {}} for row in Cell(folder).rows()[: saved["position"]["epochs"]]
    ]
    return {**saved, "seconds": 0, "epoch_seconds": 0, "epoch rows": rows}


def same(one: Any, other: Any) -> bool:
    """Equal to the last bit, through tensors, arrays and containers."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return one.shape == other.shape and bool(torch.equal(one.nan_to_num(), other.nan_to_num()))
    if isinstance(one, np.ndarray):
        return bool(np.array_equal(one, other))
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.nn.Module):
        return same(one.state_dict(), other.state_dict())
    if hasattr(one, "__dict__") and not callable(one):
        return same(vars(one), vars(other))
    return bool(one == other)


def _loss(method: Method, scores: Tensor) -> Tensor:
    state = {name: PairValues(len(scores), value, scores.device) for name, value in method.declare_state().items()}
    values = method.loss(scores, _Batch(torch.arange(len(scores))), state, Progress(0, 0, 0, 4))
    assert "loss" in values, f"method.loss gave {sorted(values)}; `loss` must be among them"
    return values["loss"]


class _Batch:
    def __init__(self, pair_ids: Tensor) -> None:
        self.pair_ids = pair_ids


def _python(*command: str) -> str:
    """What went wrong, in a line, or nothing."""
    paths = [str(Path.cwd()), *(path for path in sys.path if path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment, timeout=300)
    if done.returncode == 0:
        return ""
    said = re.findall(r"^error: .*|^(?:\[rank\d+\]: )?[\w.]+(?:Error|Exception|Lost): .*", done.stderr, re.MULTILINE)
    return str((said or done.stderr.splitlines() or ["it ended without a word"])[0])

"""The study behind a sweep: who works on which trial, what to try next, what came out. Optuna's ask and tell.

Several launchers may work on one sweep. What one decides (asking, taking over, telling) it decides under a file lock;
each has a claim as a worker has on its cell, and every trial names its launcher. So a trial whose launcher no longer
lives is seen by the next, or by another, and taken over with its cell. Randomness has a name here too: what is tried
next depends on the seed, the trial's number and the trials that have ended, and on no process's past.
"""

import shutil
import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness.errors import HarnessError
from harness.files import read_json, remove_leftovers, write_json
from harness.ledger import Claim, claim
from harness.printing.numbers import count
from harness.search.declaration import Sweep
from harness.search.space import Point
from harness.search.state import LOCK, State, differing, refusal
from harness.search.storage import explain_failures, open_storage, optuna
from harness.seeds import seed_for
from harness.uris import secrets, shown

PAPER = {"setting": "the paper's"}  # how the first trial is marked in Optuna's pages


class Study:
    """The study as one launcher uses it; after `close` another launcher may take over its unfinished trials.

    Args:
        sweep: what is searched.
        folder: `runs/sweeps/NAME`, shared by all launchers.
        url: a database; None for what the sweep was begun with, by default a journal in the folder.
        state: what trials are trained on now, of `state_now`; None where that does not matter.

    Raises:
        HarnessError: the sweep was begun with something else or on other data, or the storage does not answer.
    """

    def __init__(self, sweep: Sweep, folder: Path, url: str | None = None, *, state: State | None = None) -> None:
        self.sweep, self.folder = sweep, folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / LOCK)
        with self._lock:
            for name in ("sweep.json", "trials.csv"):
                remove_leftovers(folder, name)
            old = _begun(sweep, folder, url)
            why = differing(folder, state) if state else ""
            if why:
                raise refusal(sweep, why)
            self.url = url or (old["storage"] if old else None)
            token = old["folder"] if old else uuid.uuid4().hex
            with explain_failures(self.url):
                self._study = optuna().create_study(
                    storage=open_storage(self.url, folder), study_name=sweep.name, load_if_exists=True,
                    direction="maximize" if sweep.direction == "max" else "minimize", pruner=_pruner(sweep),
                )  # fmt: skip
                held = self._study.user_attrs.get("folder")
                if held not in (None, token):
                    raise HarnessError(
                        f"--storage {shown(str(self.url))}: holds a study {sweep.name!r} that belongs to another runs "
                        "folder; accepted: that folder (--runs), or another storage; or delete the study and run "
                        "this again"
                    )
                _write_down(sweep, folder, self.url, token, state)
                if held is None:
                    self._study.set_user_attr("folder", token)
                    self._study.set_metric_names([sweep.objective])
            launchers = folder / "launchers"
            launchers.mkdir(exist_ok=True)
            for other in launchers.iterdir():
                if not self._lives(other.name):
                    shutil.rmtree(other, ignore_errors=True)
            self.id = uuid.uuid4().hex[:12]
            self._me = launchers / self.id
            self._me.mkdir()
            taken = Claim.take(self._me)
            assert taken is not None
            self._claim = taken

    def close(self) -> None:
        self._claim.release()
        shutil.rmtree(self._me, ignore_errors=True)

    @contextmanager
    def deciding(self) -> Iterator[None]:
        """Alone, for as long as it takes to decide."""
        with explain_failures(self.url), self._lock:
            yield

    def trials(self) -> list[Any]:
        """All that have begun, as Optuna's frozen trials, by number."""
        return [trial for trial in self._study.get_trials(deepcopy=False) if trial.state.name != "WAITING"]

    @property
    def budget(self) -> int:
        """How many trials there are to be; a grid has no more than its points."""
        points = _points(self.sweep)
        return self.sweep.trials if points is None else min(self.sweep.trials, len(points))

    def ask(self) -> Any:
        """A new trial of this launcher, its parameters set. The first is the paper's setting."""
        every = self._study.get_trials(deepcopy=False)
        waiting = [trial for trial in every if trial.state.name == "WAITING"]  # enqueued by one that then died
        number = len(every) - len(waiting)
        if not waiting:
            points = _points(self.sweep)
            if points is not None:
                self._study.enqueue_trial(points[number], user_attrs=PAPER if number == 0 else None)
            elif number == 0:
                self._study.enqueue_trial(self.sweep.points(self.sweep.paper), user_attrs=PAPER)
        self._study.sampler = _sampler(self.sweep, number)
        return self._taken(self._study.ask())

    def orphan(self) -> Any | None:
        """A trial that its launcher has left behind, now this one's; or None."""
        for frozen in self.trials():
            owner = frozen.user_attrs.get("launcher")
            if frozen.state.name == "RUNNING" and owner != self.id and not self._lives(owner):
                self._study.sampler = _sampler(self.sweep, frozen.number)
                return self._taken(optuna().trial.Trial(self._study, frozen._trial_id))
        return None

    def owns(self, trial: Any) -> bool:
        """False once another launcher took it over, because this one seemed dead."""
        frozen = self._study.get_trials(deepcopy=False)[trial.number]
        return frozen.state.name == "RUNNING" and frozen.user_attrs.get("launcher") == self.id

    def complete(
        self, trial: Any, value: float, run: str | None = None, dev: Mapping[str, float | None] | None = None
    ) -> None:
        """A trial has its value; `run` and `dev`, its run's name and dev figures, are shown beside it."""
        if run is not None:
            trial.set_user_attr("run", run)
        for key, figure in (dev or {}).items():
            trial.set_user_attr(f"dev/{key}", figure)
        self._study.tell(trial, value)

    def show_winner(self, number: int, test: Mapping[str, Mapping[str, float | None]]) -> None:
        """The winning trial and its test figures, beside the study: Optuna lets nobody write to a trial that has ended,
        and no other trial has any."""
        with self.deciding():
            shown: dict[str, float | None] = {"winner": number}
            shown |= {
                f"test/{protocol}/{key}": figure for protocol, named in test.items() for key, figure in named.items()
            }
            for key, value in shown.items():
                if self._study.user_attrs.get(key) != value:
                    self._study.set_user_attr(key, value)

    def prune(self, trial: Any) -> None:
        self._study.tell(trial, state=optuna().trial.TrialState.PRUNED)

    def fail(self, trial: Any, why: str) -> None:
        trial.set_user_attr("failure", why)
        self._study.tell(trial, state=optuna().trial.TrialState.FAIL)

    def importance(self) -> tuple[dict[str, float], str]:
        """The share of each parameter in reaching the best trials, and how it was judged (or why not).

        PED-ANOVA compares where the best trials lie with where all do; the best are a tenth, but no less than five.
        """
        finished = sum(trial.state.name == "COMPLETE" for trial in self.trials())
        if finished < 10:
            return {}, f"not judged: {count(finished, 'trial')} finished; PED-ANOVA needs 10 or more"
        top = max(0.1, min(0.5, 5 / finished))
        evaluator = optuna().importance.PedAnovaImportanceEvaluator(target_quantile=top)
        shares = optuna().importance.get_param_importances(self._study, evaluator=evaluator)
        return dict(shares), f"PED-ANOVA over {count(finished, 'finished trial')}, the best {top:.0%} against all"

    def _taken(self, trial: Any) -> Any:
        trial.set_user_attr("launcher", self.id)
        trial.set_user_attr("host", socket.gethostname())
        for key, parameter in self.sweep.space.items():
            parameter.suggest(trial, key)
        return trial

    def _lives(self, launcher: str | None) -> bool:
        """Whether a launcher is at work."""
        if launcher is None:  # killed between making a trial and signing it: nobody is there now, this has the lock
            return False
        folder = self.folder / "launchers" / launcher
        holder = claim.read(folder)
        return holder is not None and claim.alive(holder, folder)


def _begun(sweep: Sweep, folder: Path, url: str | None) -> dict[str, Any] | None:
    """sweep.json of a sweep that has begun, if it is this one and lies in this storage."""
    file = folder / "sweep.json"
    old: dict[str, Any] | None = read_json(file)
    if old is None:
        return None
    if old["digest"] != sweep.digest():
        asked = sweep.asked()
        changed = ", ".join(key for key in asked if asked[key] != old["asked"].get(key))
        raise HarnessError(
            f"{sweep.path}: {changed}: not what the sweep {sweep.name} was begun with ({file}); "
            f"accepted: what it was; give the new file another name, or delete {folder} to start afresh"
        )
    if url is not None and shown(url) != old["storage"]:
        raise HarnessError(
            f"--storage {shown(url)}: the sweep {sweep.name} was begun with {old['storage'] or 'a journal file'} "
            f"({file}); accepted: that one; leave --storage out, or give the sweep another name"
        )
    if url is None and secrets(old["storage"]):
        raise HarnessError(
            f"--storage is missing: the sweep {sweep.name} was begun with {old['storage']}, and its password is "
            "written nowhere; give it with --storage or HARNESS_STORAGE"
        )
    return old


def _write_down(sweep: Sweep, folder: Path, url: str | None, token: str, state: State | None) -> None:
    about: dict[str, Any] = {"name": sweep.name, "title": sweep.title, "claim": sweep.claim, "spec": str(sweep.path)}
    about |= {"digest": sweep.digest(), "storage": None if url is None else shown(url), "folder": token}
    about |= {"trials": sweep.trials, "seeds": sweep.seeds, "asked": sweep.asked(), "state": state}
    write_json(folder / "sweep.json", about)


def _sampler(sweep: Sweep, number: int) -> Any:
    samplers = optuna().samplers
    seed = seed_for("sampler", sweep.seed, number) % 2**32  # what numpy takes
    kinds = {"tpe": samplers.TPESampler, "gp": samplers.GPSampler}
    return kinds.get(sweep.sampler, samplers.RandomSampler)(seed=seed)


def _pruner(sweep: Sweep) -> Any:
    pruners, rule = optuna().pruners, sweep.pruner
    if rule.name == "none":
        return pruners.NopPruner()
    median = pruners.MedianPruner(n_startup_trials=rule.startup, n_warmup_steps=rule.warmup)
    return pruners.PatientPruner(median, patience=rule.patience)


def _points(sweep: Sweep) -> list[dict[str, Point]] | None:
    """Every point of a grid, the paper's first; None for a sampler that draws.

    Optuna's own GridSampler ends a study by itself, which ask and tell do not allow.
    """
    if sweep.sampler != "grid":
        return None
    axes = {key: parameter.points() or [] for key, parameter in sweep.space.items()}
    first = sweep.points(sweep.paper)
    points = [dict(zip(axes, chosen, strict=True)) for chosen in product(*axes.values())]
    return [first, *(point for point in points if point != first)]

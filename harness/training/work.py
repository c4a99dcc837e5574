"""What a worker does with one cell: claim, train, score the test split once, write the result; or write why not.

Of several training processes rank 0 holds the claim and writes; the others wait for its verdict, and all end with the
same outcome. Which they agree on is what the first of them to end has said.
"""

import datetime
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from harness.backbones import Backbone
from harness.backbones.weights import save_networks
from harness.data import Dataset, PixelDataset
from harness.data.check import why_not_finite
from harness.data.vocabulary import write_reading
from harness.distributed import PeerLost, broadcast, joined, last_word, leave_word, rank, world
from harness.errors import Diverged, HarnessError
from harness.evaluation import folds, protocols, scoring
from harness.files import remove_leftovers, write_array, write_arrays
from harness.ledger import Cell, Claim, ClaimLost
from harness.spec import RunSpec, fingerprint, provenance
from harness.training import resident
from harness.training.data import open_for
from harness.training.machine import Machine, environment
from harness.training.passes import score_pairs
from harness.training.rescore import finished_twin, take_over
from harness.training.stopping import Interrupted, StopSignal
from harness.training.trainer import Trainer

Outcome = Literal["done", "already done", "held", "failed", "interrupted", "lost"]


def work(cell: Cell, data: Path, machine: Machine) -> Outcome:
    """Bring one cell to its end, from wherever it is.

    Returns:
        "done", by this worker; "already done"; "held" when somebody alive works on it; "failed", with failure.json
        written; "interrupted" by SIGTERM or SIGINT, with the checkpoint written; "lost" when another worker took over.
    """
    with joined():
        verdict, claim = _claimed(cell) if rank() == 0 else (None, None)
        verdict = broadcast(verdict)
        return verdict or _train(cell, data, machine, claim)


def _claimed(cell: Cell) -> tuple[Outcome | None, Claim | None]:
    """The claim, or why there is nothing to do."""
    if cell.state() == "done":
        cell.drop_checkpoints()  # its worker may have been killed before it did so
        return "already done", None
    if damage := cell.damage():
        raise HarnessError(damage)
    claim = Claim.take(cell.folder)
    if claim is None:
        return "held", None
    if cell.state() == "done":  # finished by another between the look and the claim
        claim.release()
        return "already done", None
    remove_leftovers(cell.folder)
    return None, claim


def _train(cell: Cell, data: Path, machine: Machine, claim: Claim | None) -> Outcome:
    """`claim`: None on all ranks but 0."""
    stop = StopSignal()
    try:
        _run(cell, data, machine, claim, stop)
        broadcast(None)  # the result is written
        return "done"
    except Interrupted:  # all ranks at the same step
        return "interrupted"
    except Exception as error:
        word = _word(error)
        leave_word(word)
        if claim is not None and word["outcome"] == "failed":
            cell.write_failure(word["error"], word["traceback"], cell.heartbeat())
        outcome: Outcome = word["outcome"]
        return outcome
    finally:
        stop.restore()
        if claim is not None:
            claim.release()


def _word(error: Exception) -> dict[str, Any]:
    """What there is to say where a rank cannot go on: the outcome, and of a failure one line and the traceback."""
    if isinstance(error, ClaimLost):
        return {"outcome": "lost"}
    if isinstance(error, PeerLost):
        said = last_word()
        if said is None:  # killed, or its machine is gone: no failure of the run, and the checkpoint is there
            print(error, file=sys.stderr)
        return said or {"outcome": "interrupted"}
    line = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
    if rank() > 0 and not isinstance(error, HarnessError):
        line = f"process {rank()} of {world()}: {line}"
    return {"outcome": "failed", "error": line, "traceback": traceback.format_exc()}


def _run(cell: Cell, data: Path, machine: Machine, claim: Claim | None, stop: StopSignal) -> None:
    run = RunSpec.from_table(cell.spec["run"])
    if fingerprint(run) != cell.fingerprint:
        raise HarnessError(
            f"{cell.path('spec.json')}: is of the run {fingerprint(run)}, and the folder of {cell.fingerprint}: it was "
            "changed; delete it, and the command that made it writes it anew; a changed run has a folder of its own"
        )
    dataset = open_for(run, data)
    dataset.card.refuse_noise(run, f"{dataset.folder}")
    dataset.tell = partial(_tell_tokenising, claim, stop)
    if _taken_over(cell, run, dataset, machine, claim):
        return
    resident.reset_peak()
    hooks: dict[str, Any] = {} if claim is None else {"report": claim.report, "guard": claim.verify}
    trainer = Trainer(run, dataset, cell, machine, **hooks, stop=stop.is_set)
    if claim is not None:
        write_array(cell.path("noise.npy"), trainer.pairs.paired_image)
    try:
        best = trainer.fit()
    except Diverged as error:
        raise HarnessError(why_not_finite(dataset) or str(error)) from error
    dataset.tell = partial(_tell_tokenising, None, stop)  # of the test split: a part of the scoring
    if claim is not None:
        claim.verify()
        claim.report(scoring=True, share_done=1.0, seconds_left=0.0)
    backbones = [network.backbone for network in trainer.networks]
    scored, ranks = score_test(backbones, dataset, run, trainer.device)
    seen = score_pairs(
        backbones, trainer.reader, trainer.pairs.clean, batch_size=run.schedule.batch_size, seed=run.seed,
        device=trainer.device, tau=getattr(trainer.method, "tau", None), stop=stop.is_set,
    )  # fmt: skip
    labels, label_report = trainer.labels(), trainer.label_report()
    if claim is None:
        return
    if dataset.digest() != trainer.data["features or captions"]:
        raise HarnessError(
            f"{dataset.folder}: the data changed while this run trained, and its figures would be of neither state; "
            "bring the old data back to finish it, or `harness run GRID --retrain` trains it on the new"
        )
    if ranks:
        write_arrays(cell.path("ranks.npz"), ranks)
    write_arrays(cell.path("pairs.npz"), seen)
    save_networks(cell.path("model.safetensors"), backbones)
    if backbones[0].reader(**backbones[0].configuration()) is None:  # else its tokens are its own
        write_reading(cell.path("vocabulary.json"), dataset.vocabulary, dataset.card.tokenizer)
    if labels is not None:
        write_array(cell.path("labels.npy"), labels)
    claim.verify()
    cell.write_result(
        {
            "fingerprint": cell.fingerprint,
            "finished": _now(),
            "selection": run.evaluation.selection,
            "best": {"piece": best.piece, "epoch": best.epoch, "epochs": best.epochs, "dev/rsum": best.rsum},
            "dev": best.dev,
            **scored,
            "labels": label_report,
            "noise": {"realised_rate": trainer.pairs.realised_rate, "sha256": trainer.data["training pairs"]},
            "dataset": {
                "name": run.dataset,
                "digest": trainer.data["features or captions"],
                "images": len(trainer.pairs.split.image_ids),
                "pairs": len(trainer.pairs),
                "test_is_dev": dataset.split("test").image_ids == dataset.split("dev").image_ids,
                "reads": "pixels" if isinstance(dataset, PixelDataset) else "regions",
                "dev_images": run.evaluation.dev_images or dataset.card.dev_images,
            },
            "environment": environment(machine, trainer.device) | {"imported": provenance(run) or None},
            "seconds": trainer.seconds,
            "steps": trainer.at.steps,
            "epochs": trainer.at.epochs,
            "peak_bytes": resident.peak(trainer.device),
            "parameters": sum(p.numel() for backbone in backbones for p in backbone.parameters()),
        }
    )
    cell.drop_checkpoints()


def _tell_tokenising(claim: Claim | None, stop: StopSignal, share: float) -> None:
    """Said of a large data set's first reading. One process alone stops there; several stop at one step."""
    if claim is not None:
        claim.report(tokenised=share)
    if stop.is_set() and world() == 1:
        raise Interrupted


def _taken_over(cell: Cell, run: RunSpec, dataset: Dataset, machine: Machine, claim: Claim | None) -> bool:
    """Whether a finished run with other test protocols alone gave this one its training. All ranks hear of it."""
    twin = None if claim is None else finished_twin(cell, dataset)
    if twin is not None:
        device = machine.torch_device()
        take_over(cell, twin, _now(), lambda networks: score_test(networks, dataset, run, device))
        print(f"scored anew: the training is that of {twin.fingerprint}, which had other test protocols")
        cell.drop_checkpoints()
    return bool(broadcast(twin is not None))


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def score_test(
    backbones: Sequence[Backbone], dataset: Dataset, run: RunSpec, device: Any
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The test split scored once: of `schema.Result` the keys "test", by the mean of the networks' similarities, and
    "networks", each of several alone; and the ranks behind "test".

    A run with `evaluation.protocols = []` (a trial of a search) leaves the test split alone.
    """
    names = protocols.of_test(run, dataset.card)
    if not names:
        return {"test": {}}, {}
    split = dataset.split("test")
    matrices = scoring.score_matrices([backbone.to(device) for backbone in backbones], split, device)
    (test, ranks), *alone = [folds.measure_all(scores, split.image_of_caption, names) for scores in matrices]
    return {"test": test, **({"networks": [{"test": metrics} for metrics, _ in alone]} if alone else {})}, ranks

"""A search is on one state of the data and one version of the code: its trials are held against each other."""

from pathlib import Path
from typing import Any

from filelock import FileLock

from harness.errors import HarnessError
from harness.files import read_json
from harness.ledger import Ledger, claim
from harness.ledger.aside import move_aside
from harness.ledger.comparable import Now, Trained
from harness.search.declaration import Sweep
from harness.search.records import read_trials
from harness.spec.facts import facts
from harness.spec.fingerprint import ALGORITHM

LOCK = ".lock"  # of a sweep's folder
State = dict[str, Any]  # {"algorithm", "digest", "dev_images"}, as sweep.json keeps it


def state_now(sweep: Sweep, now: Now) -> State:
    """What its trials would be trained on now; `digest` is None where the data are not here."""
    run = sweep.run(sweep.paper)
    found = now.state(run.dataset)
    reads = "pixels" if facts("backbone", run.backbone.name).reads_pixels else "regions"
    return {
        "algorithm": ALGORITHM,
        "digest": found.digests.get(reads) if found else None,
        "dev_images": run.evaluation.dev_images or (found.dev_images if found else None),
    }


def differing(folder: Path, there: State) -> str:
    """Why a search that has begun cannot go on with what lies there now, in words; "" where it can.

    Args:
        folder: the search's, which need not be there.
        there: of `state_now`.
    """
    about = read_json(folder / "sweep.json")
    if about is None:
        return ""
    state = about.get("state") or _of_trials(folder, about, there)
    if state.get("algorithm", there["algorithm"]) != there["algorithm"]:
        return f"version {state['algorithm']} of the code, which is now {there['algorithm']}"
    if there["digest"] and state.get("digest") not in (None, there["digest"]):
        return f"other data than lie there now (digest {state['digest'][:8]}, there {there['digest'][:8]})"
    if there["digest"] and state.get("dev_images", there["dev_images"]) != there["dev_images"]:
        return f"{state['dev_images'] or 'all'} dev images, of which the card now says {there['dev_images'] or 'all'}"
    return ""


def refusal(sweep: Sweep, why: str) -> HarnessError:
    """The one line about a search that cannot go on."""
    return HarnessError(
        f"{sweep.path}: the sweep {sweep.name} was begun on {why}; new trials cannot be held against the old ones; "
        "bring the old state back (--data), give the sweep another name, or begin it again with --retrain, which keeps "
        "the old one"
    )


def set_aside_sweep(folder: Path) -> Path:
    """Move a search aside, so that it begins again; gives where it is now. Its trials' cells stay where they are.

    Raises:
        HarnessError: another launcher works on it, or a database holds its study.
    """
    name = folder.name
    with FileLock(folder / LOCK):
        storage = (read_json(folder / "sweep.json") or {}).get("storage")
        if storage is not None:
            raise HarnessError(
                f"--retrain: the study {name} lies in {storage}, where it cannot be moved aside; accepted: a sweep "
                "in a journal file; give this one another name"
            )
        for launcher in (folder / "launchers").glob("*"):
            holder = claim.read(launcher)
            if holder is not None and claim.alive(holder, launcher):
                raise HarnessError(
                    f"--retrain: another launcher works on the sweep {name} (on {holder['host']}, process "
                    f"{holder['pid']}); stop it first"
                )
        return move_aside(folder, folder.parent.parent, f"sweep-{name}", LOCK)


def _of_trials(folder: Path, about: dict[str, Any], there: State) -> State:
    """What the finished trials were trained on, of a search that wrote down no state: one that differs, if any does."""
    ledger, rows = Ledger(folder.parent.parent), read_trials(folder / "trials.csv", about["asked"]["space"])
    finished = Trained.of(ledger.cell(row.fingerprint) for row in rows if row.state == "COMPLETE")
    states = [{"algorithm": seen.result["algorithm"], "digest": seen.digest} for seen in finished]
    same = {key: there[key] for key in ("algorithm", "digest")}
    return next((state for state in states if state != same), {})

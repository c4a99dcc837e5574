"""Over all reports at once: what was run where, what is missing, and which runs failed in a known way."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.grids import CellSpec
from harness.methods.failures import Verdict
from harness.reporting.diagnosis import NOT_BEGUN, Finding, diagnose_all
from harness.reporting.page.numbers import count, duration, moment
from harness.reporting.page.runs import Run, Runs
from harness.reporting.rendered import Rendered

VERDICTS: tuple[Verdict, ...] = ("found", "not found", "not judged")

Findings = Mapping[str, Sequence[Finding]]  # by fingerprint


@dataclass(frozen=True)
class Missing:
    """What one report lacks: how many in which state, why runs failed, and the commands that help."""

    place: str
    title: str
    states: str
    lines: list[str]
    failures: list[tuple[str, str]]


@dataclass(frozen=True)
class Signatures:
    """The failure signatures over all runs.

    Attributes:
        tally: signature -> how many runs, in the order of VERDICTS.
        found: run -> what was found in it; runs in which nothing was are not here.
        judged, total: runs of which at least one signature could be judged, and all.
    """

    tally: list[tuple[str, list[int]]]
    found: list[tuple[Run, list[Finding]]]
    judged: int
    total: int


def facts(runs: Runs) -> list[tuple[str, str]]:
    """The lines at the head of the page: (what, words)."""
    done = [run for run in runs.values() if run.result]
    stamps = sorted(run.result["finished"] for run in done if run.result.get("finished"))
    when = "" if not stamps else moment(stamps[0])
    if when and moment(stamps[-1]) != when:
        when += f" to {moment(stamps[-1])}"
    linked = sum(bool(run.link) for run in runs.values())
    lines = {
        "Runs": f"{len(done)} of {len(runs)} done",
        "Finished": when,
        "Training time": duration(sum(run.seconds for run in done)) if done else "",
        "Devices": _counted(run.environment.get("device") for run in done),
        "Harness": _counted(run.environment.get("harness") for run in done),
        "Commit": _counted(run.environment.get("git_commit") for run in done),
        "In MLflow": f"{count(linked, 'run')}; the links open while `harness ui` runs" if linked else "",
    }
    return [(what, words) for what, words in lines.items() if words]


def missing(rendered: Rendered, place: str, planned: Sequence[CellSpec], runs: Runs) -> Missing | None:
    """What a report lacks; None where all its runs are finished and no note gives a command."""
    mine = [runs[spec.fingerprint] for spec in planned]
    states = Counter(run.state for run in mine)
    lines = [note for note in rendered.notes if "`harness " in note and note not in rendered.report.notes]
    if set(states) <= {"done"} and not lines:
        return None
    words = [f"{states['done']} of {count(len(mine), 'run')} done"] if mine else []
    words += [f"{states[state]} {state}" for state in sorted(states) if state != "done"]
    failures = [(run.spec.name, run.failure) for run in mine if run.failure]
    return Missing(place, rendered.report.title, ", ".join(words), lines, failures)


def signatures(runs: Runs, findings: Findings | None) -> Signatures:
    """Every signature over every run; judged here where `findings` is None."""
    begun = (run.cell for run in runs.values() if run.cell.path("spec.json").exists())
    said = diagnose_all(begun) if findings is None else findings
    tally: dict[str, Counter[str]] = {}
    found, judged = [], 0
    for fingerprint, run in runs.items():
        mine = [finding for finding in said.get(fingerprint, []) if finding.signature != NOT_BEGUN]
        judged += any(finding.verdict != "not judged" for finding in mine)
        for finding in mine:
            tally.setdefault(finding.signature, Counter())[finding.verdict] += 1
        bad = [finding for finding in mine if finding.verdict == "found"]
        found += [(run, bad)] if bad else []
    for counted in tally.values():
        counted["not judged"] = len(runs) - counted["found"] - counted["not found"]
    counts = [(signature, [counted[verdict] for verdict in VERDICTS]) for signature, counted in tally.items()]
    return Signatures(counts, found, judged, len(runs))


def _counted(words: Iterable[str | None]) -> str:
    """Each distinct word, and how many runs have it where there are several words."""
    counted = Counter(word for word in words if word)
    if len(counted) == 1:
        return next(iter(counted))
    return ", ".join(f"{word} ({count(number, 'run')})" for word, number in sorted(counted.items()))

"""Over all reports at once: what was run where, what is missing, and which runs failed in a known way."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from harness.methods.failures import Verdict
from harness.printing.numbers import count, duration, moment
from harness.printing.table import plain
from harness.reporting.diagnosis import NOT_BEGUN, Finding, diagnose_all
from harness.reporting.reports.rendered import Rendered
from harness.reporting.reports.words import count_states
from harness.reporting.runs import Run

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


def list_facts(runs: Mapping[str, Run], links: Mapping[str, str], *, of: int) -> list[tuple[str, list[str]]]:
    """The lines at the head of the page: (what, words). `of`: how many runs the finished count is held against; 0 for
    none, as on a page whose reports tell each for itself."""
    done = [run for run in runs.values() if run.result]
    stamps = sorted(run.result["finished"] for run in done if run.result.get("finished"))
    linked = len(runs.keys() & links.keys())
    lines = {
        "Runs": f"{len(done)} of {of} done" if of else f"{len(done)} done",
        "Finished": " to ".join(dict.fromkeys([moment(stamps[0]), moment(stamps[-1])])) if stamps else "",
        "Training time": duration(sum(run.seconds for run in done)) if done else "",
        "Devices": _count_each(run.environment.get("device") for run in done),
        "Harness": _count_each(run.environment.get("harness") for run in done),
        "Commit": _count_each(run.environment.get("git_commit") for run in done),
        "In MLflow": f"{count(linked, 'run')}; the links open while `harness ui` runs" if linked else "",
    }
    return [(what, [words]) for what, words in lines.items() if words]


def describe_progress(rendered: Rendered) -> str:
    """How many runs of a report, or trials of a search, are over, and in which state the others are."""
    if rendered.trials is not None:
        over, planned = rendered.trials
        return f"{over} of {count(planned, 'trial')} over" if planned else "not begun"
    states = count_states(rendered.runs)
    others = [f"{states[state]} {state}" for state in sorted(states) if state != "done"]
    return ", ".join([f"{states['done']} of {count(states.total(), 'run')} done", *others])


def list_failures(rendered: Rendered) -> list[str]:
    """The runs of a report that failed or are damaged, and why."""
    return [f"**{run.planned.name} {run.state}:** {run.failure}" for run in rendered.runs if run.failure]


def tally_findings(runs: Mapping[str, Run], findings: Mapping[str, Sequence[Finding]] | None) -> dict[str, Any]:
    """Every signature over every run; judged here where `findings` is None.

    Returns:
        `table` of how many runs, by signature and verdict (None where no run was judged); `runs` in which something was
        found, with what; how many of the `total` are `judged`, by one signature at least.
    """
    if findings is None:
        findings = diagnose_all(
            run.cell for run in runs.values() if run.cell.path("spec.json").exists() and run.state != "damaged"
        )
    tally: dict[str, Counter[str]] = {}
    found, judged = [], 0
    for fingerprint, run in runs.items():
        mine = [finding for finding in findings.get(fingerprint, []) if finding.signature != NOT_BEGUN]
        judged += any(finding.verdict != "not judged" for finding in mine)
        for finding in mine:
            tally.setdefault(finding.signature, Counter())[finding.verdict] += 1
        bad = [(finding.signature, [finding.words]) for finding in mine if finding.verdict == "found"]
        found += [(run, bad)] if bad else []
    for counted in tally.values():
        counted["not judged"] = len(runs) - counted["found"] - counted["ok"]
    rows = [[signature, *(str(counted[verdict]) for verdict in VERDICTS)] for signature, counted in tally.items()]
    table = plain(["Signature", *VERDICTS], rows, numbers=range(1, 4)) if rows else None
    return {"table": table, "runs": found, "judged": judged, "total": len(runs)}


def _count_each(words: Iterable[str | None]) -> str:
    """Each distinct word, and how many runs have it where there are several words."""
    counted = Counter(word for word in words if word)
    if len(counted) == 1:
        return next(iter(counted))
    return ", ".join(f"{word} ({count(number, 'run')})" for word, number in sorted(counted.items()))

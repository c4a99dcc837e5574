"""Two runs side by side: their settings, their results, and whether the test queries tell them apart."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from harness.data import open_dataset
from harness.data.now import DataNow
from harness.errors import HarnessError
from harness.evaluation.bootstrap import METRICS, Ranks, compare, holm, read_ranks
from harness.evaluation.measures import MEASURES, RECALLS, WAYS
from harness.evaluation.queries import Names, Query, count_wins, find_extremes
from harness.files import write_atomic
from harness.ledger import Cell
from harness.ledger.comparable import Now, Trained, again, apart, differences
from harness.printing.html import render_html
from harness.printing.markdown import markdown
from harness.printing.numbers import NOTHING, decimal, name_epoch, ordinal
from harness.printing.table import Section, Table, Value, number, plain
from harness.reporting.figures import style
from harness.reporting.figures.curves import draw_two
from harness.tracking.records import flatten

TEMPLATE = Path(__file__).parent / "compare.html.jinja"
ENVIRONMENT = ("git_commit", "harness", "python", "torch", "platform", "device", "precision", "compile", "threads")
LEVEL = 0.05  # of the verdicts, as of the 95 % intervals
LISTED = 5  # queries with the largest gain, and as many with the largest loss
CAPTION = 70  # characters of a caption that are shown
WHAT_P_IS = (
    "A − B in points, its 95 % interval and p by a paired bootstrap over the test images; the six recalls are judged "
    "together (p adjusted by Holm's rule), rSum by itself, at 5 %. They say how the difference of these two networks "
    "varies with the test images, and not how it varies from training to training: for that, compare several seeds. "
    "For ranks smaller is better, and there is no interval."
)

Result = dict[str, Any]  # a cell's result.json; {} while it is not finished
Pair = tuple[Ranks, Ranks]  # of A and B, of the same queries


def write_comparison(a: Cell, b: Cell, out: Path, data: Path) -> tuple[str, list[Path]]:
    """The Markdown of a comparison and its files: compare.md and .html; .png, .svg and .pdf if an epoch is finished.

    Arguments and errors: those of `compare_runs`; `out` is made.
    """
    sections = compare_runs(a, b, data)
    drawn = draw_two(*((cell.name, cell.rows(), (cell.result() or {}).get("best")) for cell in (a, b)))
    words = "dev rSum of both runs over the epochs"
    drawings = [style.draw_inline(drawn, words)] if drawn else []
    text = markdown(*sections)
    out.mkdir(parents=True, exist_ok=True)
    files = [out / "compare.md", out / "compare.html"]
    write_atomic(files[0], (text + (f"\n![{words}](compare.png)\n" if drawn else "")).encode())
    write_atomic(
        files[1], render_html(TEMPLATE, title=sections[0].title, sections=sections, drawings=drawings).encode()
    )
    return text, [*files, *(style.save_all(drawn, out / "compare") if drawn else [])]


def compare_runs(a: Cell, b: Cell, data: Path) -> list[Section]:
    """All that is to say of two runs, finished or not, most general first; differences are A minus B.

    data: folder of the datasets, where the queries' captions and image ids are; without them queries are numbers.

    Raises:
        HarnessError: it is the same run twice.
    """
    if a.fingerprint == b.fingerprint:
        raise HarnessError(
            f"compare: both words name the run {a.fingerprint} ({a.name}); accepted: two different runs; "
            "`harness status GRID` lists those of a grid"
        )
    results: tuple[Result, Result] = (a.result() or {}, b.result() or {})
    now = DataNow(data)
    warnings = [f"**Warning:** {warning}." for warning in find_warnings((a, b), results, now)]
    same = "None: both runs have the same settings."
    settings = tabulate_differing(a.spec["run"], b.spec["run"])
    sections = [
        Section("A against B", [describe_runs(a, b), *warnings], level=1),
        Section("Settings that differ", [settings or same]),
    ]
    notes = [
        f"{side} is {cell.state()} and has no results yet: curves and settings only"
        for side, cell, result in zip("AB", (a, b), results, strict=True)
        if not result
    ]
    environments = [result.get("environment") or {} for result in results]
    if all(environments):
        differing = tabulate_differing(environments[0], environments[1], ENVIRONMENT)
        sections.append(Section("Environment", [differing or "The same, as far as they are recorded."]))
    if all(results):
        ranks, why = pair_ranks(a, b, now)
        notes += [f"no paired statistics: {why}"] if why else []
        names, why = open_names(results, ranks, data) if ranks else (None, "")
        protocols = _shared_protocols(results, notes)
        notes += [f"queries are numbers in the test split: {why}"] if why else []
        for protocol in protocols:
            sections += judge_protocol(protocol, results, ranks.get(protocol), names)
    if notes:
        sections[-1].blocks.append([f"{note}." for note in notes])
    return sections


def describe_runs(a: Cell, b: Cell) -> Table:
    """What they are and how far they got."""
    columns = [_describe(cell) for cell in (a, b)]
    return plain(["", "A", "B"], [[key, columns[0][key], columns[1][key]] for key in columns[0]])


def tabulate_differing(a: Mapping[str, Any], b: Mapping[str, Any], keys: Collection[str] = ()) -> Table | None:
    """The dotted keys whose values differ, in the order of the tables; a key that one has not shows as absent."""
    flat_a, flat_b = ({key: _word(value) for key, value in flatten(table)} for table in (a, b))
    rows = [[key, flat_a.get(key, NOTHING), flat_b.get(key, NOTHING)] for key in {**flat_a, **flat_b}]
    differing = [row for row in rows if row[1] != row[2] and (not keys or row[0] in keys)]
    return plain(["", "A", "B"], differing) if differing else None


def pair_ranks(a: Cell, b: Cell, now: Now) -> tuple[dict[str, Pair], str]:
    """Protocol -> both finished runs' ranks of the same queries; and if there are none, why.

    Queries at the same place of a split are the same only where the split is: the digests must say so.
    """
    first, second = Trained.of([a, b])
    why = apart(first, second, now).get("data")
    if why:
        return {}, why
    found = [read_ranks(cell.file("ranks.npz") or cell.path("ranks.npz")) for cell in (a, b)]
    for side, ranks in zip("AB", found, strict=True):
        if not ranks:
            return {}, f"{side} kept no ranks of its test queries (ranks.npz)"
    pairs = {name: (found[0][name], found[1][name]) for name in found[0] if name in found[1]}
    for name, (one, other) in pairs.items():
        if not np.array_equal(one.image_of_caption, other.image_of_caption):
            return {}, f"the test sets differ, under protocol {name} the queries of A are not those of B"
    return pairs, "" if pairs else "no protocol in common"


def open_names(results: tuple[Result, Result], ranks: dict[str, Pair], data: Path) -> tuple[Names | None, str]:
    """Captions and image ids of the test split, or None and why they are not known."""
    about = [result["dataset"] for result in results]
    try:
        dataset = open_dataset(about[0]["name"], data)
        digest, split = dataset.digest(), dataset.split("test")
    except HarnessError:
        return None, f"{about[0]['name']} is not in {data} (--data)"
    names = Names(split.image_ids, split.texts, split.image_of_caption)
    if digest not in [each.get("digest") for each in about] or not all(names.fit(pair[0]) for pair in ranks.values()):
        return None, f"{about[0]['name']} in {data} is not the data that the runs were scored on (--data)"
    return names, ""


def judge_protocol(
    protocol: str, results: tuple[Result, Result], ranks: Pair | None, names: Names | None
) -> Iterator[Section]:
    """The test split under one protocol: the metrics of both runs; with ranks how sure that is, and who wins what."""
    of_a, of_b = (result["test"][protocol] for result in results)
    titles = ["", "A", "B", "A − B"]
    rows: dict[str, list[str | Value]] = {
        metric: [
            measure.title,
            *map(number, (of_a[metric], of_b[metric])),
            number(of_a[metric] - of_b[metric], sign=True),
        ]
        for metric, measure in MEASURES.items()
        if of_a.get(metric) is not None and of_b.get(metric) is not None
    }
    if ranks is None:
        yield Section(f"Test, protocol {protocol}", [plain(titles, rows.values(), numbers=range(1, 4))])
        return
    differences = {metric: compare([ranks[0]], [ranks[1]], metric) for metric in METRICS}
    adjusted = dict(zip(RECALLS, holm([differences[metric].p for metric in RECALLS]), strict=True))
    for metric, row in rows.items():
        if metric not in METRICS:
            row += ["", "", ""]
            continue
        difference = differences[metric]
        p = float(adjusted.get(metric, difference.p))  # rSum stands by itself
        better = "A" if of_a[metric] > of_b[metric] else "B"
        verdict = f"distinguishable: {better} is better" if p < LEVEL else "not distinguishable"
        row += [" to ".join(decimal(end, sign=True) for end in (difference.low, difference.high)), f"{p:.4f}", verdict]
    table = plain([*titles, "95 % interval", "p, adjusted", ""], rows.values(), numbers=range(1, 6))
    yield Section(f"Test, protocol {protocol}", [table, WHAT_P_IS])
    yield Section(f"Queries, protocol {protocol}", list(_describe_queries(ranks, names)), level=3)


def find_warnings(cells: tuple[Cell, Cell], results: tuple[Result, Result], now: Now) -> Iterator[str]:
    """Why the two may not be comparable."""
    pairs = [_digest_pairs(cell, result) for cell, result in zip(cells, results, strict=True)]
    if all(pairs) and pairs[0] != pairs[1]:
        yield (
            f"the training pairs differ (noise.npy {pairs[0][:8]} and {pairs[1][:8]}): what differs in the results is "
            "not due to the other settings alone"
        )
    if all(results):
        a, b = Trained.of(cells)
        reasons = apart(a, b, now)
        yield from (reasons[what] for what in ("data", "code") if what in reasons)
    for side, cell in zip("AB", cells, strict=True):
        other = ", ".join(differences(cell, now).values())
        if other:
            yield f"{side} was {other}; {again(cell)} trains it again"
    if any(result.get("dataset", {}).get("test_is_dev") for result in results):
        yield "dev doubles as test: it chose the epochs that are compared here"


def _describe(cell: Cell) -> dict[str, str]:
    rows, best = cell.rows(), (cell.result() or {}).get("best")  # an ensemble has none
    scored = [row["values"]["dev/rsum"] for row in rows if row["values"].get("dev/rsum") is not None]
    if best:
        dev = f"{best['dev/rsum']:.1f}, selected in {_name_selected(best, rows)}"
    else:
        dev = f"{scored[-1]:.1f} now, {max(scored):.1f} at best" if scored else NOTHING
    about = {"run": cell.name, "grid": str(cell.spec["grid"]), "fingerprint": cell.fingerprint, "state": cell.state()}
    return {**about, "epochs finished": str(len(rows)), "dev rSum": dev}


def _name_selected(best: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """Which epoch, as the figure counts them over all pieces; of a run of several pieces, in which piece too."""
    if not rows:
        return f"epoch {ordinal(best['epochs'])}"
    of_run = name_epoch(best["epochs"], len(rows))
    pieces = len({row["piece"] for row in rows})
    epochs = sum(row["piece"] == best["piece"] for row in rows)
    return of_run if pieces <= 1 else f"{of_run} ({name_epoch(best['epoch'], epochs, best['piece'], pieces)})"


def _shared_protocols(results: tuple[Result, Result], notes: list[str]) -> list[str]:
    """The protocols that both runs were scored under; a note for every other."""
    of_a, of_b = (result["test"] for result in results)
    for side, scored in (("A", of_a), ("B", of_b)):
        if not scored:
            notes.append(f"{side} scored no test split (evaluation.protocols = [], as in a sweep)")
    for name in {**of_a, **of_b} if of_a and of_b else []:
        if name not in of_a or name not in of_b:
            notes.append(f"protocol {name}: only {'A' if name in of_a else 'B'} was scored")
    return [name for name in of_a if name in of_b]


def _describe_queries(ranks: Pair, names: Names | None) -> Iterator[str | Table]:
    titles = ["", "queries", "A better", "B better", "equal", "R@1 won by A", "R@1 lost by A"]
    yield plain(titles, [[WAYS[way], *map(str, count_wins(*ranks, way))] for way in WAYS], numbers=range(1, 7))
    extremes = [find_extremes(*ranks, way, LISTED) for way in WAYS]
    for place, side in enumerate("AB"):
        queries = [query for found in extremes for query in found[place]]
        if queries:
            yield f"Ranked better by {side} (largest ratio of ranks first):"
            titles = ["query", "index", "rank A", "rank B", *(["image", "caption"] if names else [])]
            yield plain(titles, [_describe_query(query, names) for query in queries], numbers=range(1, 4))


def _describe_query(query: Query, names: Names | None) -> list[str]:
    image, text = names.of(query) if names else ("", "")
    short = text if len(text) <= CAPTION else text[: CAPTION - 1] + "…"
    return [WAYS[query.way], str(query.index), str(query.rank_a), str(query.rank_b), *([image, short] if names else [])]


def _digest_pairs(cell: Cell, result: Result) -> str:
    """The sha256 of the training pairs, "" where they are not known; a run in training has the file alone."""
    known = result.get("noise", {}).get("sha256")
    path = cell.path("noise.npy")
    if known or not path.exists():
        return str(known or "")
    return sha256(np.ascontiguousarray(np.load(path), dtype="<i8").tobytes()).hexdigest()


def _word(value: Any) -> str:
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value)

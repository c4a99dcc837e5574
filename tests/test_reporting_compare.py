"""Two runs side by side: what differs, what the queries say, and what is said where there is nothing to say."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ledger_toys import a_dataset, a_result, a_row
from toy import harness

from harness.data import open_dataset
from harness.errors import HarnessError
from harness.evaluation.bootstrap import Ranks, compare
from harness.evaluation.measures import WAYS
from harness.ledger import Cell, Ledger, claim
from harness.reporting.comparison.facts import Comparison, compare_runs, differing
from harness.reporting.comparison.page import markdown, write_comparison
from harness.reporting.comparison.queries import Names, Query, extremes, tally
from harness.reporting.figures.compare import figure

IMAGES, EACH = 50, 5  # of the test split of tests/synthetic.py
OWNER = np.repeat(np.arange(IMAGES), EACH)
ENVIRONMENT = {"git_commit": "aaa", "torch": "2.13", "device": "cpu", "hostname": "here", "command": "harness run"}


def some_ranks(seed: int, worst: int) -> Ranks:
    rng = np.random.default_rng(seed)
    i2t, t2i = (rng.integers(1, worst + 1, n).astype(np.int32) for n in (IMAGES, IMAGES * EACH))
    return Ranks(i2t, t2i, OWNER)


GOOD, BAD = some_ranks(0, 8), some_ranks(1, 12)


def metrics(ranks: Ranks) -> dict[str, float]:
    recalls = {
        f"{way}_r{k}": 100 * float((getattr(ranks, way) <= k).mean()) for way in ("i2t", "t2i") for k in (1, 5, 10)
    }
    return {**recalls, "rsum": sum(recalls.values()), "i2t_medr": 4.0, "i2t_meanr": float(ranks.i2t.mean())}


def make_cell(
    root: Path, ranks: Ranks | None, *, beta: float = 0.8, dataset: str = "toy", done: bool = True, labels: bool = True,
    kept: bool = True, epochs: int = 4, **result: Any,
) -> Cell:  # fmt: skip
    """A cell as a worker leaves it; `result` lies over the usual one, key by key."""
    number = len(list(root.glob("*")))
    run = {
        "dataset": dataset, "noise": {"name": "caption_level", "rate": 0.4}, "seed": 0,
        "method": {"name": "crcl", "beta": beta, "pieces": [2, 2]}, "schedule": {"epochs": None},
    }  # fmt: skip
    name = f"{number:x}{beta:g}".replace(".", "").ljust(16, "f")
    cell = Ledger(root).add({"fingerprint": name, "grid": "g", "cell": f"crcl | beta={beta}", "labels": {}, "run": run})
    for epoch in range(epochs):
        values = {"dev/rsum": 300.0 + 10 * epoch + number}
        values |= {"labels/auc": 0.6 + 0.1 * epoch} if labels else {}
        cell.append_row(a_row(epoch, piece=epoch // 2, epoch_in_piece=epoch % 2, values=values))
    if done:
        usual: dict[str, Any] = {
            "test": {"full": metrics(ranks)} if ranks else {},
            "best": {"piece": 1, "epoch": 1, "epochs": 3, "dev/rsum": 330.0 + number},
            "dataset": a_dataset(name=dataset),
            "environment": ENVIRONMENT,
        }
        cell.write_result(a_result(**{**usual, **result}))
    if ranks and kept:
        arrays = {f"full/{key}": value for key, value in vars(ranks).items()}
        np.savez_compressed(cell.path("ranks.npz"), **arrays)
    return cell


def compared(a: Cell, b: Cell, data: Path = Path("nowhere")) -> tuple[Comparison, str]:
    comparison = compare_runs(a, b, data)
    return comparison, markdown(comparison)


def test_settings_that_differ_have_dotted_keys() -> None:
    a = {"dataset": "toy", "method": {"name": "crcl", "beta": 0.8, "pieces": [2, 4]}, "augmentation": None}
    b = {"dataset": "toy", "method": {"name": "infonce", "tau": 0.05}, "augmentation": {"token_rate": 0.2}}
    assert {(d.key, d.a, d.b) for d in differing(a, b)} == {
        ("method.name", "crcl", "infonce"), ("method.beta", "0.8", "–"), ("method.pieces", "[2, 4]", "–"),
        ("method.tau", "–", "0.05"), ("augmentation", "none", "–"), ("augmentation.token_rate", "–", "0.2"),
    }  # fmt: skip
    assert differing(a, a) == []


def test_environment_is_compared_where_it_can_matter(tmp_path: Path) -> None:
    a = make_cell(tmp_path, GOOD)
    b = make_cell(
        tmp_path, BAD, environment={**ENVIRONMENT, "git_commit": "bbb", "device": "H100", "hostname": "node-7"}
    )
    comparison, text = compared(a, b)
    assert [(d.key, d.a, d.b) for d in comparison.environment or []] == [
        ("git_commit", "aaa", "bbb"), ("device", "cpu", "H100"),
    ]  # fmt: skip
    assert "node-7" not in text
    assert comparison.settings == []
    assert "None: the two specs say the same." in text


def test_results_stand_beside_their_interval_and_verdict(tmp_path: Path) -> None:
    comparison, text = compared(make_cell(tmp_path, GOOD), make_cell(tmp_path, BAD, beta=0.5))
    (outcome,) = comparison.outcomes
    scores = {score.metric: score for score in outcome.scores}
    rsum = compare([GOOD], [BAD], "rsum")
    assert scores["rsum"].difference == rsum
    assert scores["rsum"].p == rsum.p < 0.05
    assert scores["rsum"].verdict == "distinguishable: A is better"
    assert rsum.points == pytest.approx(scores["rsum"].a - scores["rsum"].b)
    alone = compare([GOOD], [BAD], "t2i_r10").p
    assert alone < (scores["t2i_r10"].p or 0) <= 6 * alone  # Holm
    assert scores["i2t_r1"].verdict == "not distinguishable"
    assert (scores["i2t_medr"].verdict, scores["i2t_medr"].difference) == ("", None)
    (line,) = [line for line in text.splitlines() if line.startswith("| rSum")]
    for part in (metrics(GOOD)["rsum"], metrics(BAD)["rsum"], rsum.low, rsum.high, rsum.points):
        assert f"{part:.1f}" in line
    other, _ = compared(comparison.b, comparison.a)
    verdicts = {score.metric: score.verdict for score in other.outcomes[0].scores}
    assert verdicts["rsum"] == "distinguishable: B is better"


def test_queries_won_and_lost() -> None:
    for way in WAYS:
        pairs = list(zip(getattr(GOOD, way).tolist(), getattr(BAD, way).tolist(), strict=True))
        got = tally(GOOD, BAD, way)
        assert got.a_better == len([1 for a, b in pairs if a < b])
        assert got.b_better == len([1 for a, b in pairs if a > b])
        assert got.queries == len(pairs)
        assert got.won == len([1 for a, b in pairs if a == 1 and b != 1]) > 0
        assert got.lost == len([1 for a, b in pairs if b == 1 and a != 1]) > 0
        gains, losses = extremes(GOOD, BAD, way, 4)
        order = sorted(range(len(pairs)), key=lambda i: -pairs[i][1] / pairs[i][0])
        assert [(q.index, q.rank_a, q.rank_b) for q in gains] == [(i, *pairs[i]) for i in order[:4]]
        order.sort(key=lambda i: (-pairs[i][0] / pairs[i][1], i))
        assert [q.index for q in losses] == order[:4]
    assert extremes(GOOD, GOOD, "i2t", 4) == ([], [])


def test_few_that_differ_are_all_that_is_listed() -> None:
    worse = Ranks(np.where(np.arange(IMAGES) == 7, GOOD.i2t * 3, GOOD.i2t), GOOD.t2i, OWNER)
    gains, losses = extremes(GOOD, worse, "i2t", 5)
    assert gains == [Query("i2t", 7, int(GOOD.i2t[7]), 3 * int(GOOD.i2t[7]))]
    assert losses == []


def test_queries_are_called_by_caption_where_the_data_is(tmp_path: Path, toy_data: Path) -> None:
    about = a_dataset(digest=open_dataset("toy", toy_data).digest())
    a, b = (make_cell(tmp_path, ranks, dataset=about["name"]) for ranks in (GOOD, BAD))
    for cell in (a, b):
        cell.write_result({**(cell.result() or {}), "dataset": about})
    comparison, text = compared(a, b, toy_data)
    split = open_dataset("toy", toy_data).split("test")
    assert comparison.names is not None
    gains = comparison.outcomes[0].gains
    assert {query.way for query in gains} == {"i2t", "t2i"}
    for query in gains:
        image = query.index if query.way == "i2t" else query.index // EACH
        caption = split.texts[image * EACH if query.way == "i2t" else query.index]
        (line,) = [r for r in text.splitlines() if r.startswith(f"| {WAYS[query.way]} ")
                   and f" {query.index} |" in r and f"{split.image_ids[image]} " in r]  # fmt: skip
        assert caption[:69] in line
    assert "queries are numbers" not in text


def test_queries_are_numbers_where_the_data_is_not(tmp_path: Path, toy_data: Path) -> None:
    a, b = make_cell(tmp_path, GOOD), make_cell(tmp_path, BAD)
    comparison, text = compared(a, b)
    assert comparison.names is None
    assert "- queries are numbers in the test split: toy is not in nowhere (--data)." in text
    _, text = compared(a, b, toy_data)  # there, but with another digest
    assert f"toy in {toy_data} is not the data that the runs were scored on (--data)." in text
    assert "test-000" not in text


def test_a_caption_cannot_break_the_table(tmp_path: Path) -> None:
    names = Names([f"{i}.png" for i in range(IMAGES)], [f"a | b {'long ' * 30}" for _ in OWNER], OWNER)
    comparison, _ = compared(make_cell(tmp_path, GOOD), make_cell(tmp_path, BAD))
    text = markdown(Comparison(**{**vars(comparison), "names": names}))
    lines = [line for line in text.splitlines() if ".png" in line]
    assert lines
    assert all(line.count("|") - line.count("\\|") == 7 and "…" in line for line in lines)
    assert "crcl \\| beta=0.8" in text


def test_unfinished_runs_have_curves_and_settings(tmp_path: Path) -> None:
    a, b = make_cell(tmp_path / "runs", GOOD), make_cell(tmp_path / "runs", None, beta=0.5, done=False, epochs=3)
    b.path("checkpoint.pt").touch()
    for pair, side in (((a, b), "B"), ((b, a), "A")):
        text, files = write_comparison(*pair, tmp_path / "out", Path("nowhere"))
        assert f"- {side} is interrupted and has no results yet: curves and settings only." in text
        assert "| method.beta |" in text
        assert "321.0 now, 321.0 at best" in text
        assert "333.0" not in text
        assert "## Test" not in text
        assert "## Environment" not in text
        assert [file.name for file in files] == ["compare.md", "compare.png", "compare.svg"]


def test_runs_without_an_epoch_have_no_figure(tmp_path: Path) -> None:
    a, b = (make_cell(tmp_path / "runs", None, beta=beta, done=False, epochs=0) for beta in (0.1, 0.2))
    text, files = write_comparison(a, b, tmp_path / "out", Path("nowhere"))
    assert [file.name for file in files] == ["compare.md"]
    assert files[0].read_text() == text
    assert "A is waiting" in text
    assert "B is waiting" in text


def test_the_same_run_twice(tmp_path: Path) -> None:
    cell = make_cell(tmp_path, GOOD)
    with pytest.raises(HarnessError, match=rf"both words name the run {cell.fingerprint} .*; accepted: two different"):
        compare_runs(cell, cell, Path("nowhere"))


def test_warnings(tmp_path: Path) -> None:
    a = make_cell(tmp_path, GOOD)
    assert compared(a, make_cell(tmp_path, BAD))[0].warnings == []
    pairs = make_cell(tmp_path, BAD, noise={"realised_rate": 0.4, "sha256": "12" * 32})
    assert "**Warning:** the training pairs differ (noise.npy abababab and 12121212):" in compared(a, pairs)[1]
    data = make_cell(tmp_path, BAD, dataset="toy")
    data.write_result({**(data.result() or {}), "dataset": a_dataset(digest="ef" * 32, test_is_dev=True)})
    comparison, text = compared(a, data)
    assert "**Warning:** the data sets differ (digest cdcdcdcd and efefefef)" in text
    assert "**Warning:** dev doubles as test" in text
    assert comparison.outcomes[0].tallies  # the queries are the same images and captions


def test_training_pairs_of_a_run_in_training_are_those_of_its_file(tmp_path: Path) -> None:
    cells = [make_cell(tmp_path, None, done=False) for _ in range(3)]
    for cell, pairs in zip(cells, ([0, 1, 2], [0, 1, 2], [0, 2, 1]), strict=True):
        np.save(cell.path("noise.npy"), np.array(pairs))
    assert compared(cells[0], cells[1])[0].warnings == []
    assert "the training pairs differ" in compared(cells[0], cells[2])[1]


def test_no_paired_statistics_where_queries_do_not_pair(tmp_path: Path) -> None:
    a = make_cell(tmp_path, GOOD)
    reversed_ = Ranks(BAD.i2t, BAD.t2i, OWNER[::-1].copy())
    for other, why in (
        (make_cell(tmp_path, BAD, dataset="toy2"), "the test sets differ, toy and toy2"),
        (make_cell(tmp_path, BAD, kept=False), "B kept no ranks of its test queries (ranks.npz)"),
        (
            make_cell(tmp_path, reversed_),
            "the test sets differ, under protocol full the queries of A are not those of B",
        ),
    ):
        comparison, text = compared(a, other)
        assert text.count(f"- no paired statistics: {why}.") == 1
        assert all(score.difference is None and score.verdict == "" for score in comparison.outcomes[0].scores)
        assert f"{metrics(BAD)['rsum']:.1f}" in text
        assert "distinguishable" not in text
        assert "### Queries" not in text


def test_protocols_that_one_run_lacks(tmp_path: Path) -> None:
    a = make_cell(tmp_path, GOOD, test={"full": metrics(GOOD), "1k": metrics(GOOD)})
    comparison, text = compared(a, make_cell(tmp_path, BAD))
    assert "- protocol 1k: only A was scored." in text
    assert [outcome.protocol for outcome in comparison.outcomes] == ["full"]
    _, text = compared(a, make_cell(tmp_path, None))
    assert "- B scored no test split (evaluation.protocols = [], as in a sweep)." in text
    assert "## Test" not in text


def test_curves_lie_over_each_other(tmp_path: Path) -> None:
    a, b, without = (make_cell(tmp_path, GOOD, labels=labels) for labels in (True, True, False))
    runs = [(cell.name, cell.rows(), (cell.result() or {})["best"]) for cell in (a, b, without)]
    made = figure(runs[0], runs[1])
    assert made is not None
    rsum, auc = made.axes
    drawn = [
        line.get_ydata().tolist() for line in rsum.lines if len(line.get_xdata()) == 2 and line.get_marker() in "os"
    ]
    assert drawn == [[300, 310], [320, 330], [301, 311], [321, 331]]  # each piece its own line
    assert {text.get_text() for text in rsum.texts} == {"330.0", "331.0", "piece 1"}
    assert auc.get_ylabel() == "label AUC"
    assert len([line for line in auc.lines if line.get_marker() in "os"]) == 4
    assert [t.get_text() for t in rsum.get_legend().get_texts()] == ["A: crcl | beta=0.8", "B: crcl | beta=0.8"]
    one = figure(runs[0], runs[2])
    assert one is not None
    assert [axes.get_ylabel() for axes in one.axes] == ["dev rSum"]  # label AUC where both have it
    begun = figure(runs[0], ("new", [], None))
    assert begun is not None
    assert begun.axes[0].get_legend().get_texts()[1].get_text() == "B: new (no epoch finished)"
    assert figure(("a", [], None), ("b", [], None)) is None


def test_the_same_runs_give_the_same_files(tmp_path: Path) -> None:
    a, b = make_cell(tmp_path / "runs", GOOD), make_cell(tmp_path / "runs", BAD, beta=0.5)
    first, second = (write_comparison(a, b, tmp_path / out, Path("nowhere"))[1] for out in ("one", "two"))
    assert [file.name for file in first] == ["compare.md", "compare.png", "compare.svg"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert "](compare.png)" in first[0].read_text()


def test_the_command_line(tmp_path: Path) -> None:
    a, b = make_cell(tmp_path / "runs", GOOD), make_cell(tmp_path / "runs", BAD, beta=0.5)
    shown = harness("compare", a.fingerprint[:4], b.name, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "distinguishable: A is better" in shown.stdout
    assert shown.stdout.rstrip().endswith("written: out/compare.md out/compare.png out/compare.svg")
    assert (tmp_path / "out" / "compare.md").read_text().startswith(shown.stdout[:200])
    same = harness("compare", a.fingerprint, a.fingerprint[:4], cwd=tmp_path)
    assert (same.returncode, same.stdout) == (2, "")
    assert same.stderr.startswith("error: compare: both words name the run")
    assert len(same.stderr.splitlines()) == 1


def test_a_run_in_training_is_read_while_it_is_held(tmp_path: Path) -> None:
    a, b = make_cell(tmp_path, GOOD), make_cell(tmp_path, None, beta=0.5, done=False)
    held = claim.Claim.take(b.folder)
    assert held is not None
    try:
        assert "B is running and has no results yet" in compared(a, b)[1]
    finally:
        held.release()

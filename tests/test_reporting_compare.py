"""Two runs side by side: what differs, what the queries say, and what is said where there is nothing to say."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ledger_toys import a_dataset, a_result, a_row
from toy import harness

from harness.data import open_dataset
from harness.data.now import DataNow
from harness.errors import HarnessError
from harness.evaluation.bootstrap import Ranks, compare
from harness.evaluation.measures import WAYS
from harness.evaluation.queries import Query, count_wins, find_extremes
from harness.ledger import Cell, Ledger, claim
from harness.printing.markdown import markdown
from harness.printing.table import Section, Table
from harness.reporting.comparison.compare import compare_runs, tabulate_differing, write_comparison
from harness.reporting.figures.curves import draw_two

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
        "backbone": {"name": "vse_infinity"},
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


def compared(a: Cell, b: Cell, data: Path = Path("nowhere")) -> tuple[dict[str, Section], str]:
    """The sections by their title, and all of it as text."""
    sections = compare_runs(a, b, data)
    return {section.title: section for section in sections}, markdown(*sections)


def rows(section: Section, number: int = 0) -> list[list[str]]:
    """Of a section's table, in words."""
    table = [block for block in section.blocks if isinstance(block, Table)][number]
    return [[value.text for value in row] for row in table.rows]


def test_settings_that_differ_have_dotted_keys() -> None:
    a = {"dataset": "toy", "method": {"name": "crcl", "beta": 0.8, "pieces": [2, 4]}, "augmentation": None}
    b = {"dataset": "toy", "method": {"name": "infonce", "tau": 0.05}, "augmentation": {"token_rate": 0.2}}
    table = tabulate_differing(a, b)
    assert table is not None
    assert {tuple(value.text for value in row) for row in table.rows} == {
        ("method.name", "crcl", "infonce"), ("method.beta", "0.8", "–"), ("method.pieces", "[2, 4]", "–"),
        ("method.tau", "–", "0.05"), ("augmentation", "none", "–"), ("augmentation.token_rate", "–", "0.2"),
    }  # fmt: skip
    assert tabulate_differing(a, a) is None


def test_environment_is_compared_where_it_can_matter(tmp_path: Path) -> None:
    a = make_cell(tmp_path, GOOD)
    b = make_cell(
        tmp_path, BAD, environment={**ENVIRONMENT, "git_commit": "bbb", "device": "H100", "hostname": "node-7"}
    )
    sections, text = compared(a, b)
    assert rows(sections["Environment"]) == [["git_commit", "aaa", "bbb"], ["device", "cpu", "H100"]]
    assert "node-7" not in text
    assert "None: both runs have the same settings." in text
    assert "selected in epoch 4 of 4 (piece 2 of 2, epoch 2 of 2)" in text


def test_results_stand_beside_their_interval_and_verdict(tmp_path: Path) -> None:
    a, b = make_cell(tmp_path, GOOD), make_cell(tmp_path, BAD, beta=0.5)
    scores = {row[0]: row[1:] for row in rows(compared(a, b)[0]["Test, protocol full"])}
    rsum, of_a, of_b = compare([GOOD], [BAD], "rsum"), metrics(GOOD)["rsum"], metrics(BAD)["rsum"]
    assert rsum.points == pytest.approx(of_a - of_b)
    interval = f"+{rsum.low:.1f} to +{rsum.high:.1f}"
    verdict = "distinguishable: A is better"
    assert scores["rSum"] == [f"{of_a:.1f}", f"{of_b:.1f}", f"+{rsum.points:.1f}", interval, f"{rsum.p:.4f}", verdict]
    alone = compare([GOOD], [BAD], "t2i_r10").p
    assert alone < float(scores["t2i R@10"][4]) <= 6 * alone + 5e-5  # Holm
    assert scores["i2t R@1"][5] == "not distinguishable"
    assert scores["i2t median rank"] == ["4.0", "4.0", "0.0", "", "", ""]
    other = {row[0]: row[1:] for row in rows(compared(b, a)[0]["Test, protocol full"])}
    assert other["rSum"][5] == "distinguishable: B is better"


def test_queries_won_and_lost() -> None:
    for way in WAYS:
        pairs = list(zip(getattr(GOOD, way).tolist(), getattr(BAD, way).tolist(), strict=True))
        queries, a_better, b_better, equal, won, lost = count_wins(GOOD, BAD, way)
        assert queries == len(pairs)
        assert a_better == len([1 for a, b in pairs if a < b])
        assert b_better == len([1 for a, b in pairs if a > b])
        assert equal == queries - a_better - b_better
        assert won == len([1 for a, b in pairs if a == 1 and b != 1]) > 0
        assert lost == len([1 for a, b in pairs if b == 1 and a != 1]) > 0
        gains, losses = find_extremes(GOOD, BAD, way, 4)
        order = sorted(range(len(pairs)), key=lambda i: -pairs[i][1] / pairs[i][0])
        assert [(q.index, q.rank_a, q.rank_b) for q in gains] == [(i, *pairs[i]) for i in order[:4]]
        order.sort(key=lambda i: (-pairs[i][0] / pairs[i][1], i))
        assert [q.index for q in losses] == order[:4]
    assert find_extremes(GOOD, GOOD, "i2t", 4) == ([], [])


def test_few_that_differ_are_all_that_is_listed() -> None:
    worse = Ranks(np.where(np.arange(IMAGES) == 7, GOOD.i2t * 3, GOOD.i2t), GOOD.t2i, OWNER)
    gains, losses = find_extremes(GOOD, worse, "i2t", 5)
    assert gains == [Query("i2t", 7, int(GOOD.i2t[7]), 3 * int(GOOD.i2t[7]))]
    assert losses == []


def test_queries_are_called_by_caption_where_the_data_is(tmp_path: Path, toy_data: Path) -> None:
    about = a_dataset(digest=open_dataset("toy", toy_data).digest())
    a, b = (make_cell(tmp_path, ranks, dataset=about["name"]) for ranks in (GOOD, BAD))
    for cell in (a, b):
        cell.write_result({**(cell.result() or {}), "dataset": about})
    sections, text = compared(a, b, toy_data)
    split = open_dataset("toy", toy_data).split("test")
    gains = rows(sections["Queries, protocol full"], 1)
    assert {row[0] for row in gains} == set(WAYS.values())
    for way, index, _, _, image, caption in gains:
        place = int(index) if way == WAYS["i2t"] else int(index) // EACH
        assert image == split.image_ids[place]
        assert split.texts[place * EACH if way == WAYS["i2t"] else int(index)].startswith(caption.removesuffix("…"))
    assert "queries are numbers" not in text


def test_queries_are_numbers_where_the_data_is_not(tmp_path: Path, toy_data: Path) -> None:
    a, b = make_cell(tmp_path, GOOD), make_cell(tmp_path, BAD)
    _, text = compared(a, b)
    assert "- queries are numbers in the test split: toy is not in nowhere (--data)." in text
    _, text = compared(a, b, toy_data)  # there, but with another digest
    assert f"toy in {toy_data} is not the data that the runs were scored on (--data)." in text
    assert "test-000" not in text


def test_a_caption_cannot_break_the_table(tmp_path: Path, toy_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_dataset("toy", toy_data)
    about = a_dataset(digest=dataset.digest())
    split = replace(dataset.split("test"), texts=[f"a | b {'long ' * 30}" for _ in OWNER])
    monkeypatch.setattr(type(dataset), "split", lambda _self, _name: split)
    a, b = (make_cell(tmp_path, ranks) for ranks in (GOOD, BAD))
    for cell in (a, b):
        cell.write_result({**(cell.result() or {}), "dataset": about})
    _, text = compared(a, b, toy_data)
    lines = [line for line in text.splitlines() if "long long" in line]
    assert len(lines) == 20
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
        assert [file.name for file in files] == [
            "compare.md",
            "compare.html",
            "compare.png",
            "compare.svg",
            "compare.pdf",
        ]


def test_runs_without_an_epoch_have_no_figure(tmp_path: Path) -> None:
    a, b = (make_cell(tmp_path / "runs", None, beta=beta, done=False, epochs=0) for beta in (0.1, 0.2))
    text, files = write_comparison(a, b, tmp_path / "out", Path("nowhere"))
    assert [file.name for file in files] == ["compare.md", "compare.html"]
    assert files[0].read_text() == text
    assert "A is waiting" in text
    assert "B is waiting" in text


def test_the_same_run_twice(tmp_path: Path) -> None:
    cell = make_cell(tmp_path, GOOD)
    with pytest.raises(HarnessError, match=rf"both words name the run {cell.fingerprint} .*; accepted: two different"):
        compare_runs(cell, cell, Path("nowhere"))


def test_warnings(tmp_path: Path) -> None:
    a = make_cell(tmp_path, GOOD)
    assert "Warning" not in compared(a, make_cell(tmp_path, BAD))[1]
    pairs = make_cell(tmp_path, BAD, noise={"realised_rate": 0.4, "sha256": "12" * 32})
    assert "**Warning:** the training pairs differ (noise.npy abababab and 12121212):" in compared(a, pairs)[1]
    data = make_cell(tmp_path, BAD, dataset="toy")
    data.write_result({**(data.result() or {}), "dataset": a_dataset(digest="ef" * 32, test_is_dev=True)})
    sections, text = compared(a, data)
    assert "**Warning:** the data differ (digest cdcdcdcd and efefefef): features, captions or vocabulary." in text
    assert "**Warning:** dev doubles as test" in text
    assert "- no paired statistics: the data differ" in text  # nobody knows whether the queries are the same
    assert "Queries, protocol full" not in sections
    assert "distinguishable" not in text


def test_a_run_of_other_data_than_now_is_told(tmp_path: Path, toy_data: Path) -> None:
    cells = make_cell(tmp_path, GOOD), make_cell(tmp_path, BAD)
    digest = open_dataset("toy", toy_data).digest()
    cells[1].write_result({**(cells[1].result() or {}), "dataset": a_dataset(digest=digest)})
    _, text = compared(*cells, toy_data)
    folder = toy_data / "toy"
    assert f"**Warning:** A was trained on other data than {folder} holds now (digest cdcdcdcd, there " in text
    assert "`harness run g --retrain` trains it again." in text
    assert "Warning:** B was" not in text


def test_pixels_and_regions_of_one_folder_are_paired(tmp_path: Path, toy_data: Path) -> None:
    """Their digests differ, for they cover what is read."""
    state = DataNow(toy_data).state("toy")
    assert state is not None
    cells = make_cell(tmp_path, GOOD), make_cell(tmp_path, BAD)
    for cell, reads in zip(cells, ("regions", "pixels"), strict=True):
        about = a_dataset(digest=state.digests[reads], reads=reads)
        cell.write_result({**(cell.result() or {}), "dataset": about})
    assert "Queries, protocol full" in compared(*cells, toy_data)[0]
    _, text = compared(*cells)
    assert "- no paired statistics: one read pixels and one regions, and they are not known to be of one state" in text


def test_versions_of_the_code_are_told_apart(tmp_path: Path) -> None:
    cells = make_cell(tmp_path, GOOD), make_cell(tmp_path, BAD, algorithm=2)
    text = compared(*cells)[1]
    assert "**Warning:** versions 1 and 2 of the code trained them." in text
    assert "**Warning:** B was trained by version 2 of the code, which is now 1; `harness run g --retrain`" in text


def test_training_pairs_of_a_run_in_training_are_those_of_its_file(tmp_path: Path) -> None:
    cells = [make_cell(tmp_path, None, done=False) for _ in range(3)]
    for cell, pairs in zip(cells, ([0, 1, 2], [0, 1, 2], [0, 2, 1]), strict=True):
        np.save(cell.path("noise.npy"), np.array(pairs))
    assert "Warning" not in compared(cells[0], cells[1])[1]
    assert "the training pairs differ" in compared(cells[0], cells[2])[1]


def test_no_paired_statistics_where_queries_do_not_pair(tmp_path: Path) -> None:
    a = make_cell(tmp_path, GOOD)
    reversed_ = Ranks(BAD.i2t, BAD.t2i, OWNER[::-1].copy())
    for other, why in (
        (make_cell(tmp_path, BAD, dataset="toy2"), "the data sets differ, toy and toy2"),
        (make_cell(tmp_path, BAD, kept=False), "B kept no ranks of its test queries (ranks.npz)"),
        (
            make_cell(tmp_path, reversed_),
            "the test sets differ, under protocol full the queries of A are not those of B",
        ),
    ):
        sections, text = compared(a, other)
        assert text.count(f"- no paired statistics: {why}.") == 1
        assert {len(row) for row in rows(sections["Test, protocol full"])} == {4}
        assert f"{metrics(BAD)['rsum']:.1f}" in text
        assert "distinguishable" not in text
        assert "### Queries" not in text


def test_protocols_that_one_run_lacks(tmp_path: Path) -> None:
    a = make_cell(tmp_path, GOOD, test={"full": metrics(GOOD), "1k": metrics(GOOD)})
    sections, text = compared(a, make_cell(tmp_path, BAD))
    assert "- protocol 1k: only A was scored." in text
    assert [title for title in sections if title.startswith("Test")] == ["Test, protocol full"]
    _, text = compared(a, make_cell(tmp_path, None))
    assert "- B scored no test split (evaluation.protocols = [], as in a sweep)." in text
    assert "## Test" not in text


def test_curves_lie_over_each_other(tmp_path: Path) -> None:
    a, b, without = (make_cell(tmp_path, GOOD, labels=labels) for labels in (True, True, False))
    runs = [(cell.name, cell.rows(), (cell.result() or {})["best"]) for cell in (a, b, without)]
    made = draw_two(runs[0], runs[1])
    assert made is not None
    rsum, auc = made.axes
    drawn = [
        line.get_ydata().tolist() for line in rsum.lines if len(line.get_xdata()) == 2 and line.get_marker() in "os"
    ]
    assert drawn == [[300, 310], [320, 330], [301, 311], [321, 331]]  # each piece its own line
    assert {text.get_text() for text in rsum.texts} == {"330.0", "331.0", "piece 2"}
    assert auc.get_ylabel() == "label AUC"
    assert len([line for line in auc.lines if line.get_marker() in "os"]) == 4
    assert [t.get_text() for t in rsum.get_legend().get_texts()] == ["A: crcl | beta=0.8", "B: crcl | beta=0.8"]
    one = draw_two(runs[0], runs[2])
    assert one is not None
    assert [axes.get_ylabel() for axes in one.axes] == ["dev rSum"]  # label AUC where both have it
    begun = draw_two(runs[0], ("new", [], None))
    assert begun is not None
    assert begun.axes[0].get_legend().get_texts()[1].get_text() == "B: new (no epoch finished)"
    assert draw_two(("a", [], None), ("b", [], None)) is None


def test_the_same_runs_give_the_same_files(tmp_path: Path) -> None:
    a, b = make_cell(tmp_path / "runs", GOOD), make_cell(tmp_path / "runs", BAD, beta=0.5)
    first, second = (write_comparison(a, b, tmp_path / out, Path("nowhere"))[1] for out in ("one", "two"))
    assert [file.name for file in first] == ["compare.md", "compare.html", "compare.png", "compare.svg", "compare.pdf"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert "](compare.png)" in first[0].read_text()


def test_the_page_shows_what_the_text_says_and_asks_for_no_file(tmp_path: Path) -> None:
    a, b = (
        make_cell(tmp_path / "runs", GOOD),
        make_cell(tmp_path / "runs", BAD, beta=0.5, noise={"realised_rate": 0.4, "sha256": "12" * 32}),
    )
    text, files = write_comparison(a, b, tmp_path / "out", Path("nowhere"))
    page = files[1].read_text()
    assert page.count("<table") == len(re.findall(r"^\|:", text, re.MULTILINE))
    assert "<strong>Warning:</strong> the training pairs differ" in page
    assert page.count('<img src="data:image/svg+xml;base64,') == 1
    assert set(re.findall(r'(?:src|href)="([^",]*)', page)) == {"data:image/svg+xml;base64", "data:"}


@pytest.mark.slow
def test_the_command_line(tmp_path: Path) -> None:
    a, b = make_cell(tmp_path / "runs", GOOD), make_cell(tmp_path / "runs", BAD, beta=0.5)
    shown = harness("compare", a.fingerprint[:4], b.name, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "distinguishable: A is better" in shown.stdout
    assert shown.stdout.rstrip().endswith(
        "written: out/compare.md out/compare.html out/compare.png out/compare.svg out/compare.pdf"
    )
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

"""`harness audit` from runs to files, with captions that try to break the page."""

import csv
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from ledger_toys import rewrite
from pictures import write_pictures
from synthetic import write_dataset
from toy import harness, write_grid

from harness.audit import Audit, write_audit
from harness.cli.audit import command
from harness.data.cards import DatasetCard
from harness.errors import HarnessError
from harness.grids import load_grid
from harness.ledger import Cell, Ledger
from harness.training.machine import Machine
from harness.training.work import work

RUNS = """
[axes.kind.crcl]
method = { name = "crcl", pieces = [4, 4], freeze_epochs = 3 }
schedule.lr = 1e-2
noise.rate = 0.4
[axes.kind.damaged]
method = { name = "crcl", pieces = [2], freeze_epochs = 1 }
noise = { name = "text_damage", rate = 0.3 }
[axes.kind.infonce]
method = "infonce"
schedule.epochs = 1
noise.rate = 0.4
[axes.kind.clean]
method = { name = "crcl", pieces = [2], freeze_epochs = 1 }
"""
HOSTILE = [
    "<script>document.title = 'broken'</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "</article></main><h1>out",
    "{{ 7 * 7 }} {% raw %} &amp; ',\" =1+1",
    "‮right to left‬ \u0007 \U0001f600",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data/toy`, whose captions and ids are hostile, and the finished `runs`."""
    folder = tmp_path_factory.mktemp("audit")
    toy = write_dataset(folder / "data" / "toy")
    lines = (toy / "train_caps.txt").read_text(encoding="utf-8").splitlines()
    lines = [f"{line} {HOSTILE[number % len(HOSTILE)]}" for number, line in enumerate(lines)]
    (toy / "train_caps.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (toy / "train_ids.txt").write_text("".join(f"<b>'{n}\".png\n" for n in range(200)), encoding="utf-8")
    grid = load_grid(write_grid(folder, RUNS))
    for planned in grid.cells:
        cell = Ledger(folder / "runs").add(planned.entry(grid.name))
        assert work(cell, folder / "data", Machine("cpu")) == "done", cell.failure()
    return folder


def cell_of(trained: Path, name: str) -> Cell:
    return Ledger(trained / "runs").find(name)


def audited(trained: Path, out: Path, name: str = "crcl", **options: Any) -> Audit:
    options = {"top": 30, "images": None, "machine": Machine("cpu"), **options}
    return write_audit(cell_of(trained, name), trained / "data", out, **options)


def rows_of(audit: Audit) -> list[dict[str, str]]:
    with open(audit.files[1], newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class Page(HTMLParser):
    """Elements of a page, with their attributes, and the text of each caption."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.captions: list[str] = []
        self._inside = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "blockquote":
            self._inside = True
            self.captions.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "blockquote"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.captions[-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.mark.slow
def test_the_terminal_and_the_files_say_the_same(trained: Path, tmp_path: Path) -> None:
    cell = cell_of(trained, "crcl")
    ran = harness(
        "audit", cell.fingerprint[:6], "--runs", trained / "runs", "--data", trained / "data", "--top", 20, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    folder = tmp_path / "out" / f"audit-{cell.fingerprint[:8]}"
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "pairs.csv", "summary.json"]
    with open(folder / "pairs.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    noisy = np.array([row["clean"] == "0" for row in rows])
    found = json.loads((folder / "summary.json").read_text())["detection"]
    for k, cut in zip((100, 500, 1000), found["cutoffs"], strict=True):  # 5,000 is more than there are
        assert cut == {"k": k, "precision": noisy[:k].mean(), "recall": noisy[:k].sum() / noisy.sum()}
        assert re.search(rf"{k:,} +{noisy[:k].mean():.1%} +{noisy[:k].sum() / noisy.sum():.1%}\n", ran.stdout)
    assert found["r_precision"] == pytest.approx(noisy[: noisy.sum()].mean())
    assert f"{noisy.sum()}, as many as are wrong" in ran.stdout
    assert f"random order      {noisy.mean():.1%}" in ran.stdout
    assert "label ascending, ties by match, then by similarity" in ran.stdout
    assert "the caption's own for" in ran.stdout
    assert found["cutoffs"][0]["precision"] > 1.5 * noisy.mean()  # the toy can be learned


def test_the_table_holds_every_pair_by_the_documented_rule(trained: Path, tmp_path: Path) -> None:
    cell, audit = cell_of(trained, "crcl"), audited(trained, tmp_path)
    rows = rows_of(audit)
    seen, labels = np.load(cell.path("pairs.npz")), np.load(cell.path("labels.npy"))
    pairs = [int(row["pair"]) for row in rows]
    assert pairs == sorted(range(1000), key=lambda i: (labels[i], seen["match"][i], seen["similarity"][i]))
    captions = (trained / "data" / "toy" / "train_caps.txt").read_text(encoding="utf-8").splitlines()
    paired = np.load(cell.path("noise.npy"))
    for rank, (row, pair) in enumerate(zip(rows, pairs, strict=True), start=1):
        assert (int(row["rank"]), row["caption"]) == (rank, captions[pair])
        assert row["image"] == f"<b>'{paired[pair]}\".png"
        assert row["true_image"] == f"<b>'{pair // 5}\".png"
        assert float(row["label"]) == pytest.approx(labels[pair], rel=1e-5)
        assert row["clean"] == str(int(seen["clean"][pair]))
        assert row["original_caption"] == ""
        if row["other_caption"]:
            assert row["other_caption"] == captions[int(row["other_caption_pair"])]
    with_card = [int(row["rank"]) for row in rows if row["other_picture"]]
    assert with_card[:30] == list(range(1, 31))
    beyond = [rows[rank - 1] for rank in with_card[30:]]
    assert beyond
    assert {row["clean"] for row in beyond} == {"1"}  # true pairs ranked low, for the filter


def test_own_pictures_found_again_are_counted_over_the_lowest(trained: Path, tmp_path: Path) -> None:
    audit = audited(trained, tmp_path)
    foreign = [row for row in rows_of(audit)[:30] if row["true_image"] != row["image"]]
    hits = sum(row["other_picture"] == row["true_image"] for row in foreign)
    counted = audit.summary["own_picture"]
    assert (counted["found"], counted["of"], counted["chance"]) == (hits, len(foreign), 1 / 199)
    marks = audit.files[0].read_text().count(">its own picture</span>\n")
    assert marks == hits


def test_the_same_run_gives_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    first, second = audited(trained, tmp_path / "1"), audited(trained, tmp_path / "2")
    for one, other in zip(first.files, second.files, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_hostile_captions_stay_text(trained: Path, tmp_path: Path) -> None:
    audit = audited(trained, tmp_path)
    page = Page(audit.files[0])
    rows = {row["rank"]: row for row in rows_of(audit)}
    ranks = [article["data-rank"] or "" for article in page.all("article")]
    assert len(ranks) >= 30
    assert page.captions == [rows[rank]["caption"] for rank in ranks]
    assert len(page.all("script")) == 1
    assert len(page.all("h1")) == 1
    assert len(page.all("main")) == 1
    assert not [a for _, attributes in page.elements for a in attributes if a.startswith("on")]
    assert {(image["src"] or "")[:23] for image in page.all("img")} == {"data:image/jpeg;base64,"}
    assert [link["href"] for link in page.all("link")] == ["data:,"]
    assert not re.search(r"https?:|@import|url\(", audit.files[0].read_text())


def test_a_history_is_drawn_for_every_card(trained: Path, tmp_path: Path) -> None:
    cell, audit = cell_of(trained, "crcl"), audited(trained, tmp_path)
    page = Page(audit.files[0])
    history = np.load(cell.path("label_history.npy"))
    drawn = page.all("svg")
    assert len(drawn) == len(page.all("article"))
    labels = [f"{label:.2f}" for label in history[:, int(page.all("article")[0]["data-pair"] or "")]]
    assert len(labels) == 8
    assert drawn[0]["aria-label"] == (
        f"label at the end of each epoch: piece 1: {', '.join(labels[:4])}, piece 2: {', '.join(labels[4:])}"
    )


def test_damaged_captions_show_what_was_written(trained: Path, tmp_path: Path) -> None:
    audit = audited(trained, tmp_path, "damaged")
    rows = rows_of(audit)
    captions = (trained / "data" / "toy" / "train_caps.txt").read_text(encoding="utf-8").splitlines()
    wrong = [row for row in rows if row["clean"] == "0"]
    assert len(wrong) == 300
    assert all(row["original_caption"] == captions[int(row["pair"])] != row["caption"] for row in wrong)
    assert {row["original_caption"] for row in rows if row["clean"] == "1"} == {""}
    assert audit.summary["own_picture"] is None  # every picture is right
    assert "before noise: <q" in audit.files[0].read_text()


def test_without_labels_pairs_are_ranked_by_match(trained: Path, tmp_path: Path) -> None:
    audit = audited(trained, tmp_path, "infonce")
    assert audit.summary["rule"] == "match ascending, ties by similarity (the method keeps no labels)"
    match = [float(row["match"]) for row in rows_of(audit)]
    assert match == sorted(match)
    assert {row["label"] for row in rows_of(audit)} == {""}
    assert Page(audit.files[0]).all("svg") == []
    assert audit.summary["label_auc"] is None
    assert audit.detection is not None


@pytest.mark.parametrize(("name", "real"), [("clean", False), ("crcl", True)])
def test_where_the_truth_is_not_known_nothing_is_claimed(trained: Path, tmp_path: Path, name: str, real: bool) -> None:
    data = shutil.copytree(trained / "data", tmp_path / "data")
    card = DatasetCard.read(data / "toy")
    assert card is not None
    if real:
        card.model_copy(update={"noise": "real"}).write(data / "toy")
    cell = cell_of(trained, name)
    folders = ["--runs", str(trained / "runs"), "--data", str(data), "--out", str(tmp_path / "out")]
    ran = CliRunner().invoke(command, [cell.fingerprint, *folders, "--device", "cpu"], catch_exceptions=False)
    why = "the noise of toy is real" if real else "no noise was put in"
    assert f"precision and recall are not reported: {why}" in ran.stdout
    page = (tmp_path / "out" / f"audit-{cell.fingerprint[:8]}" / "index.html").read_text()
    assert why in page
    assert "because the noise is synthetic" not in page
    assert 'name="wrong"' not in page
    with open(tmp_path / "out" / f"audit-{cell.fingerprint[:8]}" / "pairs.csv", newline="", encoding="utf-8") as file:
        assert {(row["clean"], row["true_image"]) for row in csv.DictReader(file)} == {("", "")}


def test_a_cell_of_an_older_version_is_scored_now_and_says_so(trained: Path, tmp_path: Path) -> None:
    new = audited(trained, tmp_path / "new")
    shutil.copytree(trained / "runs", tmp_path / "runs")
    old = Ledger(tmp_path / "runs").find("crcl")
    rewrite(old)
    old.path("pairs.npz").unlink()
    old.path("label_history.npy").unlink()
    machine = Machine("cpu")
    audit = write_audit(old, trained / "data", tmp_path / "old", top=5, images=None, machine=machine)
    assert [row["pair"] for row in rows_of(audit)] == [row["pair"] for row in rows_of(new)]
    assert [note.split(":")[0] for note in audit.notes] == [
        "The run is of a version that kept no pairs.npz",
        "The run is of a version that kept no label_history.npy",
    ]
    assert Page(audit.files[0]).all("svg") == []


def test_what_cannot_be_audited_is_told_in_a_line(trained: Path, tmp_path: Path) -> None:
    runs = shutil.copytree(trained / "runs", tmp_path / "runs")

    def refused(cell: Cell, data: Path = trained / "data", **options: Any) -> str:
        options = {"top": 5, "images": None, "machine": Machine("cpu"), **options}
        with pytest.raises(HarnessError) as caught:
            write_audit(cell, data, tmp_path / "out", **options)
        assert not (tmp_path / "out").exists()
        return str(caught.value)

    assert "no such file or folder" in refused(Ledger(runs).find("crcl"), images=tmp_path / "nowhere.zip")
    other = write_dataset(tmp_path / "data" / "toy", seed=1)
    assert "the features or captions differ from those" in refused(Ledger(runs).find("crcl"), data=other.parent)
    waiting = Ledger(runs).find("infonce")
    rewrite(waiting)
    waiting.path("model.safetensors").unlink()
    assert "has no model.safetensors" in refused(waiting)
    waiting.write_result({**(waiting.result() or {}), "members": ["abc", "def"]})
    assert "infonce is an ensemble and has no labels of its own; audit one of its members: abc, def" in refused(waiting)
    waiting.path("result.json").unlink()
    assert "infonce is waiting; an audit needs a finished run: `harness run toy`" in refused(waiting)


def test_pictures_come_from_a_folder_by_image_id(trained: Path, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "p", [f"<b>'{n}\".png" for n in range(0, 200, 2)])
    audit = audited(trained, tmp_path / "out", images=folder)
    page = Page(audit.files[0])
    assert page.all("img")
    assert {image["width"] for image in page.all("img")} == {"32"}
    assert "no picture</span>" in audit.files[0].read_text()
    assert re.fullmatch(rf"\d+ pictures could not be found or read in {folder}\.", audit.notes[0])
    empty = audited(trained, tmp_path / "out", images=write_pictures(tmp_path / "q", ["else.png"]))
    assert empty.notes == [
        f"None of the pictures is in {tmp_path / 'q'} under its image id: see the column image of pairs.csv."
    ]


def test_a_missing_pillow_is_told_in_a_line(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(HarnessError, match=r"needs the package .*: pip install 'crcl-harness\[build\]'"):
        audited(trained, tmp_path, images=tmp_path)


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize(
    ("state", "asked"),
    [
        ("", lambda row: int(row["rank"]) <= 30),
        ("#wrong=1", lambda row: row["clean"] == "1" and row["other_picture"]),
        ("#q=ONERROR", lambda row: int(row["rank"]) <= 30 and "onerror" in row["caption"]),
        ("#order=last", lambda row: int(row["rank"]) <= 30),
    ],
)
def test_the_page_works_in_a_browser(trained: Path, tmp_path: Path, state: str, asked: Any) -> None:
    audit = audited(trained, tmp_path)
    assert CHROMIUM is not None
    shown = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=2000",
            "--dump-dom", audit.files[0].resolve().as_uri() + state,
        ],
        capture_output=True, text=True, timeout=900, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in shown.stderr  # no error; the page's policy turns any request for a file into one
    (tmp_path / "dom.html").write_text(shown.stdout, encoding="utf-8")
    page = Page(tmp_path / "dom.html")
    ranks = [int(article["data-rank"] or "") for article in page.all("article") if "hidden" not in article]
    wanted = [int(row["rank"]) for row in rows_of(audit) if asked(row)]
    assert ranks == (wanted[::-1] if "last" in state else wanted)
    assert wanted
    assert f">{len(wanted)} pairs</output>" in shown.stdout

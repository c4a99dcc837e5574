"""`harness clean`, whole: a folder of pictures and a file of captions in, the same file without its wrong pairs out."""

import csv
import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import chromium
import numpy as np
import pytest
from chromium import Tab
from click.testing import CliRunner, Result
from PIL import Image, ImageDraw
from toy import wait_for

from harness.clean.copies import plan_copies
from harness.clean.look import (
    find_in_pictures,
    find_in_rows,
    find_near_features,
    find_other_languages,
    look_at_pictures,
)
from harness.clean.settings import Settings, settings_for
from harness.cli import group
from harness.data.build.pictures import Pictures
from harness.data.formats import Row, read_captions
from harness.errors import HarnessError

outputs = import_module("harness.clean.outputs")
verdict = import_module("harness.clean.verdict")
flow = import_module("harness.clean.clean")  # the package has a function of that name
COLOURS = ("red", "green", "blue", "yellow", "black", "white")
SHAPES = ("circle", "square", "triangle")


def draw(path: Path, colour: str, shape: str, ground: str, rng: random.Random) -> None:
    picture = Image.new("RGB", (96, 96), ground)
    pen, at = ImageDraw.Draw(picture), rng.randrange(8, 30)
    box = (at, at, at + rng.randrange(40, 60), at + rng.randrange(40, 60))
    if shape == "circle":
        pen.ellipse(box, fill=colour)
    elif shape == "square":
        pen.rectangle(box, fill=colour)
    else:
        pen.polygon([(box[0], box[3]), (box[2], box[3]), ((box[0] + box[2]) // 2, box[1])], fill=colour)
    picture.save(path)


def write_user_data(folder: Path, images: int) -> tuple[Path, Path]:
    """Pictures, and COCO captions in which some are wrong, unreadable, or no captions at all."""
    rng = random.Random(0)
    (folder / "photos").mkdir(parents=True)
    content = {"info": {"year": 2024}, "images": [], "annotations": []}
    for number in range(images):
        ground, colour = rng.sample(COLOURS, 2)
        shape, name = rng.choice(SHAPES), f"{number:03d}.png"
        draw(folder / "photos" / name, colour, shape, ground, rng)
        content["images"].append({"id": number, "file_name": name})
        for text in (f"a {colour} {shape} on {ground}", f"{ground} ground and a {shape} in {colour}"):
            content["annotations"].append({"id": len(content["annotations"]), "image_id": number, "caption": text})
    content["annotations"][0]["caption"] = "000.png"
    content["annotations"][3]["caption"] = ""
    (folder / "photos" / "002.png").write_bytes((folder / "photos" / "002.png").read_bytes()[:60])
    (folder / "photos" / "005.png").write_bytes((folder / "photos" / "006.png").read_bytes())
    (folder / "captions.json").write_text(json.dumps(content))
    return folder / "photos", folder / "captions.json"


def say(*words: object) -> Result:
    return CliRunner().invoke(group, ["clean", *map(str, words)], standalone_mode=False)


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished cleaning of 60 pictures with trainings of two epochs: everything but what it finds is real."""
    folder = tmp_path_factory.mktemp("user")
    photos, captions = write_user_data(folder, 60)
    content = json.loads(captions.read_text())
    content["annotations"][8]["caption"] = "qwertz uiop."
    captions.write_text(json.dumps(content))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "settings_for", quick)
        patch.setattr(verdict, "doubt", lambda *_: "")
        result = say("--images", photos, "--captions", captions, "--out", folder / "out", "--top", 30)
    assert result.exception is None, result.output
    (folder / "said.txt").write_text(result.output)
    return folder


def quick(images: int, pairs: int) -> Settings:
    return replace(settings_for(images, pairs), parts=2, epochs=3, minimum_count=2)


def scores(out: Path) -> list[dict[str, str]]:
    with open(out / "scores.csv", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.slow
def test_every_pair_has_a_decision_and_the_file_is_split_by_it(cleaned: Path) -> None:
    out = cleaned / "out"
    records = scores(out)
    before = json.loads((cleaned / "captions.json").read_text())
    after, gone = (json.loads((out / f"{name}.json").read_text()) for name in ("cleaned", "dropped"))
    assert len(records) == len(before["annotations"]) == 120
    kept = [record["decision"] == "kept" for record in records]
    assert after["annotations"] == [a for a, keep in zip(before["annotations"], kept, strict=True) if keep]
    assert gone["annotations"] == [a for a, keep in zip(before["annotations"], kept, strict=True) if not keep]
    assert after["info"] == before["info"]
    assert {image["id"] for image in after["images"]} == {a["image_id"] for a in after["annotations"]}
    for record in records:
        assert record["decision"] in ("kept", "dropped")
        assert record["reason"].startswith("not judged" if record["decision"] == "kept" else "") or not record["reason"]
        assert bool(record["rank"]) == (record["reason"] in ("", "wrong pair"))
        if record["rank"]:
            assert 0 <= float(record["probability_wrong"]) <= 1
            assert record["other_picture"] != record["image"]
    judged = [record for record in records if record["rank"]]
    assert sorted(int(record["rank"]) for record in judged) == list(range(1, len(judged) + 1))


def test_what_cannot_be_used_is_dropped_with_its_reason(cleaned: Path) -> None:
    by_row = {int(record["row"]): record for record in scores(cleaned / "out")}
    assert by_row[4]["reason"] == "no caption"
    assert by_row[5]["reason"] == by_row[6]["reason"] == "unreadable picture"
    assert "caption is a file name" in by_row[1]["noticed"]
    assert "duplicate picture" in by_row[13]["noticed"] + by_row[11]["noticed"]
    summary = json.loads((cleaned / "out" / "summary.json").read_text())
    assert summary["noticed"]["unreadable picture"] == 2
    assert summary["kept"] + summary["dropped"] == summary["pairs"] == 120
    with open(cleaned / "out" / "findings.csv", newline="") as stream:
        assert {row["kind"] for row in csv.DictReader(stream)} >= {"no caption", "duplicate picture"}


def test_a_caption_of_words_that_occur_once_is_not_judged_and_kept(cleaned: Path) -> None:
    by_row = {int(record["row"]): record for record in scores(cleaned / "out")}
    for row in (1, 9):  # 000.png, qwertz uiop.
        assert by_row[row]["decision"] == "kept"
        assert by_row[row]["reason"] == "not judged: no known word"
        assert "no known word" in by_row[row]["noticed"]
        assert by_row[row]["rank"] == by_row[row]["probability_wrong"] == by_row[row]["score"] == ""
    with open(cleaned / "out" / "findings.csv", newline="") as stream:
        assert [row["row"] for row in csv.DictReader(stream) if row["kind"] == "no known word"] == ["1", "9"]
    said = (cleaned / "said.txt").read_text()
    assert "not judged: 2 pairs whose caption has no word that occurs 2 times, kept; --tokenizer characters" in said


def test_what_is_not_known_is_in_no_copy() -> None:
    owner = np.repeat(np.arange(60), 2)
    known = np.arange(120) % 3 > 0
    for copy in plan_copies(owner, 60, replace(settings_for(60, 120), parts=2), 0, known):
        assert sorted([*copy.rows, *copy.dev]) == np.flatnonzero(known).tolist()
        assert not (copy.planted & ~known).any()
        assert copy.planted.any()


def test_a_doubt_is_told_and_nothing_is_promised(cleaned: Path, tmp_path: Path) -> None:
    """The same trainings, and a network that tells too little: no pair is dropped as wrong, no figure is printed."""
    shutil.copytree(cleaned / "out", tmp_path / "out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "settings_for", quick)
        patch.setattr(verdict, "doubt", lambda *_: "planted swaps are hardly told from the rest")
        result = say("--images", cleaned / "photos", "--captions", cleaned / "captions.json", "--out", tmp_path / "out")
    assert "no share or precision promised: planted swaps are hardly told from the rest" in result.output
    assert "wrong pairs:" not in result.output
    assert "precision 9" not in result.output
    records = scores(tmp_path / "out")
    assert {record["reason"] for record in records} == {
        "", "no caption", "unreadable picture", "not judged: no known word",
    }  # fmt: skip
    assert {record["probability_wrong"] for record in records} == {""}
    assert {record["rank"] for record in records} > {"1", "2", ""}
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Nothing is dropped as wrong" in page
    assert "of them wrong, expected" not in page
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["at_the_cut"]["dropped"] == 0


def test_captions_that_share_no_word_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    rows = ["image,caption"]
    for n in range(50):
        Image.effect_noise((40, 40), 80).convert("RGB").save(tmp_path / "p" / f"{n}.png")
        rows.append(f"{n}.png,word{n}")
    (tmp_path / "c.csv").write_text("\n".join(rows) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "settings_for", quick)
        said = str(say("--images", tmp_path / "p", "--captions", tmp_path / "c.csv", "--out", tmp_path / "o").exception)
    assert "50 of 50 captions have no word that occurs 2 times" in said
    assert "--tokenizer characters" in said


def test_the_user_s_own_data_are_not_corrupted(cleaned: Path) -> None:
    """Swaps are planted in copies; what a pair is judged by is a copy in which it stands as it was."""
    for spec in (cleaned / "out" / "work" / "runs").glob("*/spec.json"):
        assert json.loads(spec.read_text())["run"]["noise"]["name"] == "none"
    assert not (cleaned / "mlflow.db").exists()


def test_the_same_command_continues_and_trains_nothing_again(cleaned: Path) -> None:
    before = {path: path.read_bytes() for path in (cleaned / "out").iterdir() if path.is_file()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "settings_for", quick)
        patch.setattr(verdict, "doubt", lambda *_: "")
        result = say(
            "--images", cleaned / "photos", "--captions", cleaned / "captions.json", "--out", cleaned / "out",
            "--top", 30,
        )  # fmt: skip
    assert "begun" not in result.output
    assert {path: path.read_bytes() for path in before} == before


def test_other_captions_in_the_same_folder_are_refused(cleaned: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text((cleaned / "captions.json").read_text())
    result = say("--images", cleaned / "photos", "--captions", other, "--out", cleaned / "out")
    assert "holds the work of another task" in str(result.exception)


def test_marks_of_a_person_count_more(cleaned: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(cleaned / "out", out, ignore=shutil.ignore_patterns("work"))
    records = scores(out)
    judged = [record for record in records if record["rank"]]
    kept, other = judged[0], judged[-1]
    (tmp_path / "d.csv").write_text(
        f"row,image,caption,mark\n{kept['row']},{kept['image']},x,wrong\n{other['row']},{other['image']},x,right\n"
    )
    result = say("--apply", tmp_path / "d.csv", "--out", out)
    assert result.exception is None, result.output
    after = {int(record["row"]): record for record in scores(out)}
    assert after[int(kept["row"])]["reason"] == "marked wrong"
    assert after[int(other["row"])] | {"rank": ""} == other | {"decision": "kept", "reason": "marked right", "rank": ""}
    rows = {row.where for row in read_captions(out / "dropped.json").rows}
    assert len(rows) == sum(record["decision"] == "dropped" for record in after.values())
    refused = {
        "999,a,x,right": "a row from 1 to 120", f"{kept['row']},z.png,x,right": "is of 'z.png' there",
        "1,,x,maybe": "marked right or wrong",
    }  # fmt: skip
    for line, said in refused.items():
        (tmp_path / "d.csv").write_text(f"row,image,caption,mark\n{line}\n")
        assert said in str(say("--apply", tmp_path / "d.csv", "--out", out).exception)
    (tmp_path / "d.csv").write_text("a,b\n")
    assert "no columns row and mark" in str(say("--apply", tmp_path / "d.csv", "--out", out).exception)
    assert "no finished cleaning" in str(say("--apply", tmp_path / "d.csv", "--out", tmp_path / "none").exception)


def test_marks_on_a_folder_with_a_text_beside_each_picture(tmp_path: Path) -> None:
    """What an earlier decision had written does not stay, and another folder than the cleaned one is refused."""
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    out.mkdir()
    for name in "ab":
        draw(photos / f"{name}.png", "red", "circle", "blue", random.Random(0))
        (photos / f"{name}.txt").write_text(f"picture {name}\n")
    file = read_captions(photos)
    (out / "summary.json").write_text(
        json.dumps({"captions": str(photos), "sha256": file.sha256(), "columns": False, "marks": {}})
    )
    with open(out / "scores.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, outputs.COLUMNS, restval="")
        writer.writeheader()
        writer.writerows({"row": n, "image": f"{name}.png", "decision": "kept"} for n, name in enumerate("ab", start=1))

    def marked(mark: str) -> tuple[list[str], list[str]]:
        (tmp_path / "d.csv").write_text(f"row,image,caption,mark\n1,a.png,x,{mark}\n")
        outputs.apply_decisions(out, tmp_path / "d.csv")
        return tuple(sorted(path.name for path in (out / part).iterdir()) for part in ("cleaned", "dropped"))  # type: ignore[return-value]

    assert marked("wrong") == (["b.txt"], ["a.txt"])
    assert marked("right") == (["a.txt", "b.txt"], [])
    (photos / "a.txt").write_text("another\n")
    with pytest.raises(HarnessError, match="is not the file that was cleaned"):
        marked("wrong")


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    assert "--captions is missing" in str(say().exception)
    (tmp_path / "c.csv").write_text("image,caption\na.png,x\n")
    assert "brings no pictures" in str(say("--captions", tmp_path / "c.csv", "--out", tmp_path / "o").exception)
    (tmp_path / "p").mkdir()
    said = str(say("--images", tmp_path / "p", "--captions", tmp_path / "c.csv", "--out", tmp_path / "o2").exception)
    assert "has none of the 1 picture that the captions name, first 'a.png'" in said
    Image.new("RGB", (40, 40)).save(tmp_path / "p" / "a.png")
    (tmp_path / "c.csv").write_text("image,caption\na.png,x\na.png,\nb.png,y\n")
    said = str(say("--images", tmp_path / "p", "--captions", tmp_path / "c.csv", "--out", tmp_path / "o3").exception)
    assert "1 pictures in 1 pairs can be used" in said
    assert said.endswith("; left out: 1 no caption, 1 unreadable picture")


def test_a_swapped_pair_is_judged_where_it_is_not_swapped() -> None:
    owner = np.repeat(np.arange(300), 2)
    settings = replace(settings_for(300, 600), planted=0.1)
    copies = plan_copies(owner, 300, settings, 0)
    assert len(copies) == 2 * settings.parts
    first, second = (next(copy for copy in copies if copy.number == number) for number in range(2))
    assert 0.08 < first.planted.mean() <= 0.11
    assert not (first.planted & second.planted).all()
    for copy in copies:
        assert ((copy.image != owner) == copy.planted).all()
        assert sorted(copy.image.tolist()) == sorted(owner.tolist())  # captions change places, none is lost
        left_out = np.setdiff1d(np.arange(600), copy.rows)
        assert set(copy.image[left_out]) == set(owner[left_out])  # swapped within the part
        assert len(set(owner[left_out])) == settings.dev


ROWS = [
    Row("a.jpg", "A dog runs over the green grass", None, "1"), Row("b.jpg", "IMG_2033.jpg", None, "2"),
    Row("c.jpg", "untitled", None, "3"), Row("d.jpg", "", None, "4"), Row("", "A cat", None, "5"),
    Row("a.jpg", "Ein Hund läuft über die grüne Wiese", None, "6"),
    Row("e.jpg", "a dog runs over the green grass", None, "7"),
    Row("f.jpg", "Two people sit on a bench in the park", None, "8"),
    Row("blank.png", "A boy on a red bicycle", None, "9"),
]  # fmt: skip


def test_what_is_noticed(tmp_path: Path) -> None:
    rng = random.Random(1)
    for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"):
        draw(tmp_path / name, *rng.sample(COLOURS, 1), rng.choice(SHAPES), "white", rng)
    Image.open(tmp_path / "a.jpg").save(tmp_path / "near.jpg", quality=30)
    (tmp_path / "same.jpg").write_bytes((tmp_path / "a.jpg").read_bytes())
    Image.new("RGB", (96, 96), "grey").save(tmp_path / "blank.png")
    Image.effect_noise((20, 20), 80).convert("RGB").save(tmp_path / "tiny.png")
    names = sorted(path.name for path in tmp_path.iterdir())
    looks = look_at_pictures(Pictures(tmp_path), [*names, "f.jpg"])
    found = {(finding.kind, finding.row, finding.image) for finding in find_in_rows(ROWS, looks)}
    assert {(kind, row) for kind, row, _ in found} == {
        ("caption is a file name", 1), ("boilerplate caption", 2), ("no caption", 3), ("no picture", 4),
        ("unreadable picture", 7), ("caption at several pictures", 0), ("caption at several pictures", 6),
    }  # fmt: skip
    pictures = {(finding.kind, finding.image) for finding in find_in_pictures(looks)}
    assert ("duplicate picture", "same.jpg") in pictures
    assert ("near-duplicate picture", "near.jpg") in pictures
    assert ("blank picture", "blank.png") in pictures
    assert ("tiny picture", "tiny.png") in pictures
    language, foreign = find_other_languages(ROWS)
    assert language == "en"
    assert [finding.row for finding in foreign] == [5]


def test_near_features() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    vectors[31] = vectors[7] + 0.001
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    [finding] = find_near_features([f"{n}.jpg" for n in range(50)], vectors)
    assert (finding.image, finding.detail) == ("31.jpg", "features of 7.jpg")


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    if chromium.PROGRAM is None:
        pytest.skip("no Chromium on this machine")
    pytest.importorskip("websocket")
    with chromium.browser() as tab:
        yield tab


def test_marking_and_download_in_a_browser(cleaned: Path, tab: Tab, tmp_path: Path) -> None:
    page = cleaned / "out" / "index.html"
    tab.open(page)
    tab.run("localStorage.clear()")
    tab.open(page)
    tab.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    for key in ("j", "x", "c", "x", "k", "u"):  # a mark leads to the next pair
        tab.press(key)
    marks = tab.run("[...document.querySelectorAll('article')].map(card => card.dataset.mark)")
    assert marks[:3] == ["wrong", "right", ""], marks[:5]
    told = tab.run("document.getElementById('precision').textContent")
    assert "marked" in told
    assert tab.errors == []
    assert [request for request in tab.requests if not request.startswith(("data:", "blob:"))] == [page.as_uri()]
    tab.open(page)  # the marks stay
    assert tab.run("document.querySelector('article').dataset.mark") == "wrong"
    tab.click("document.getElementById('download')")
    wait_for(lambda: (tmp_path / "decisions.csv").exists(), 30)
    with open(tmp_path / "decisions.csv", newline="") as stream:
        lines = list(csv.DictReader(stream))
    rows = tab.run("[...document.querySelectorAll('article')].map(card => card.dataset.row)")
    assert (lines[0]["row"], lines[0]["mark"]) == (rows[0], "wrong")
    assert all(line["mark"] in ("right", "wrong") for line in lines)


def test_the_gallery_fits_a_phone_and_uses_a_wide_screen(cleaned: Path, tab: Tab) -> None:
    page = cleaned / "out" / "index.html"
    tab.open(page, width=390, height=844, touch=True)
    assert tab.run("document.documentElement.scrollWidth") == 390
    box = "document.querySelectorAll('article')[{}].getBoundingClientRect()"
    assert tab.run(f"{box.format(0)}.right") <= 390
    assert tab.run("document.querySelector('.buttons button').getBoundingClientRect().height") >= 44  # for a thumb
    tab.open(page, width=1920)
    assert tab.run(f"{box.format(0)}.top === {box.format(1)}.top")  # two cards beside each other


@pytest.mark.long
def test_the_wrong_pairs_are_found(tmp_path: Path) -> None:
    """400 pictures of shapes, a tenth of the captions exchanged: most are found, and few others."""
    photos, captions = write_user_data(tmp_path, 400)
    content = json.loads(captions.read_text())
    chosen = random.Random(3).sample(range(10, 800), 80)
    texts = [content["annotations"][row]["caption"] for row in chosen]
    wrong = set()
    for row, text in zip(chosen, [*texts[1:], texts[0]], strict=True):
        if set(text.split()) != set(content["annotations"][row]["caption"].split()):
            wrong.add(row)
        content["annotations"][row]["caption"] = text
    captions.write_text(json.dumps(content))
    result = say("--images", photos, "--captions", captions, "--out", tmp_path / "out", "--compare", "infonce")
    assert result.exception is None, result.output
    assert "| infonce" in result.output
    dropped = {int(record["row"]) - 1 for record in scores(tmp_path / "out") if record["reason"] == "wrong pair"}
    assert len(dropped & wrong) / len(wrong) > 0.6
    assert len(dropped & wrong) / max(1, len(dropped)) > 0.6


@pytest.mark.long
def test_a_clip_as_it_is_is_a_ranking_too_and_a_budget_stops(tmp_path: Path) -> None:
    photos, captions = write_user_data(tmp_path, 60)
    words = ("--images", photos, "--captions", captions, "--out", tmp_path / "out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "settings_for", lambda *sizes: replace(settings_for(*sizes), parts=2, epochs=3))
        spent = say(*words, "--budget", "1s")
        assert spent.exception is None
        assert "the budget is spent before every training has ended; the same command continues" in spent.output
        assert not (tmp_path / "out" / "cleaned.json").exists()
        result = say(*words, "--compare", "clip", "--clip", "tiny-random")
    assert result.exception is None, result.output
    assert "| clip" in result.output
    compared = json.loads((tmp_path / "out" / "summary.json").read_text())["compared"]
    assert list(compared) == ["osa", "clip"]
    assert 0.2 < compared["clip"]["auc"] < 0.8  # random weights tell nothing

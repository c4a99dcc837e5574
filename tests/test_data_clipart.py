"""Open Clip Art: which pictures, which titles, on a made-up folder and on the packages themselves."""

import csv
from pathlib import Path

import pytest
from click.testing import CliRunner
from pictures import write_pictures

from harness.cli import group
from harness.data import open_dataset
from harness.data.build import build_clipart, clipart
from harness.errors import HarnessError

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DRAWING = f"""<svg xmlns="http://www.w3.org/2000/svg" xmlns:rdf="{RDF}" xmlns:dc="http://purl.org/dc/elements/1.1/">
<title>window</title><metadata><rdf:RDF xmlns="http://web.resource.org/cc/"><Work rdf:about="">{{}}
<dc:publisher><Agent><dc:title>Open Clip Art Library</dc:title></Agent></dc:publisher>
</Work></rdf:RDF></metadata><path d="M 0 0"/></svg>"""


def draw(place: Path, name: str, title: str | None) -> None:
    drawing = place / "svg" / f"{name}.svg"
    drawing.parent.mkdir(parents=True, exist_ok=True)
    drawing.write_text(DRAWING.format("" if title is None else f"<dc:title>{title}</dc:title>"), encoding="utf-8")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Seven pictures; animals/0 to 3 have titles."""
    place = tmp_path / "openclipart"
    write_pictures(place / "png/animals", [f"{number}.png" for number in range(7)])
    for number in range(4):
        draw(place, f"animals/{number}", f" Cat\n no. {number} &amp; è")
    return place


def titles(place: Path) -> dict[str, str]:
    return {item.image: item.captions[0] for item in clipart.titled(place)}


def test_the_title_is_the_works_own_on_one_line(place: Path) -> None:
    assert titles(place) == {f"animals/{number}.png": f"Cat no. {number} & è" for number in range(4)}


def test_a_picture_without_a_title_is_left_out(place: Path) -> None:
    draw(place, "animals/4", None)
    draw(place, "animals/5", "  ")
    (place / "svg/animals/6.svg").write_text("<svg><metadata>", encoding="utf-8")
    assert len(titles(place)) == 4


def test_of_pictures_that_look_alike_the_first_stays(place: Path) -> None:
    copy = place / "png/zoo/7.png"
    copy.parent.mkdir()
    (place / "png/animals/5.png").rename(copy)
    copy.write_bytes((place / "png/animals/0.png").read_bytes())
    draw(place, "zoo/7", "Another title")
    (place / "png/zoo/8.png").symlink_to("../animals/1.png")
    draw(place, "zoo/8", "A link")
    assert list(titles(place)) == [f"animals/{number}.png" for number in range(4)]


def test_a_title_that_names_a_collection_is_left_out(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(place, "animals/2", "gramastar")
    draw(place, "animals/3", "gramastar")
    assert len(titles(place)) == 4
    monkeypatch.setattr(clipart, "SHARED", 1)
    assert list(titles(place)) == ["animals/0.png", "animals/1.png"]


def test_a_picture_far_larger_than_the_rest_is_left_out_unread(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clipart, "LARGEST", 32 * 32 - 1)
    assert titles(place) == {}


def test_the_build_has_one_caption_a_picture_and_a_table_for_clean(place: Path, tmp_path: Path) -> None:
    said: list[str] = []
    out = build_clipart(tmp_path / "data", place=place, held_out=1)
    dataset = open_dataset("clipart", tmp_path / "data")
    assert [len(dataset.split(split).regions) for split in ("train", "dev", "test")] == [2, 1, 1]
    assert (dataset.card.noise, dataset.card.captions_per_image) == ("real", 1)
    with (out / clipart.CAPTIONS).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for split in ("train", "dev", "test"):
        here = [row for row in rows if row["split"] == split]
        assert [row["image"] for row in here] == dataset.split(split).image_ids
        assert [row["caption"] for row in here] == dataset.split(split).texts
    before = (out / clipart.CAPTIONS).read_bytes()
    build_clipart(tmp_path / "data", place=place, held_out=1, say=said.append)
    assert "already built" in said[0]
    assert (out / clipart.CAPTIONS).read_bytes() == before


def test_without_the_pictures_there_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        HarnessError, match=r"data build clipart: 0 pictures with titles in .*nowhere; accepted: .*: apt-get install"
    ):
        build_clipart(tmp_path, place=tmp_path / "nowhere")
    ran = CliRunner().invoke(group, ["data", "build", "clipart", "--pixels", "64", "--data", str(tmp_path)])
    assert "data build clipart: does not take --pixels" in str(ran.exception)
    ran = CliRunner().invoke(group, ["data", "build", "pictures", "--data", str(tmp_path)])
    assert "data build pictures: unknown; accepted: twemoji, speech, stamps, clipart, clips; or --images" in str(
        ran.exception
    )


@pytest.mark.skipif(not (clipart.PLACE / "svg").is_dir(), reason="Debian's openclipart-svg is not here")
def test_the_package_has_the_titles_that_its_authors_wrote() -> None:
    title = {name: clipart._title(clipart.PLACE / "svg" / f"{name}.svg") for name in (
        "animals/bat_orlando_karam_", "tools/weapons/lightsabers", "shapes/stars/star_71pt16step",
        "signs_and_symbols/flags/africa/equatorial_guinea",
    )}  # fmt: skip
    assert list(title.values()) == ["bat", "Clipart by Nicu Buculei - piggybank", "gramastar", ""]

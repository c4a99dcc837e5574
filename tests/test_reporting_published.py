"""The published numbers are consistent with themselves, carry their source, and are never mixed."""

from pathlib import Path

import pandas as pd
import pytest

from harness.errors import HarnessError
from harness.evaluation.measures import RECALLS
from harness.reporting.declaration import PublishedTable
from harness.reporting.rows.published import Published, read_published

FOLDER = Path(__file__).parent.parent / "reports"
FILES = sorted((FOLDER / "published").glob("*.csv"))


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def rows(request: pytest.FixtureRequest) -> pd.DataFrame:
    return read_published(request.param)


def published(file: str = "flickr30k.csv", *, protocol: str = "1k", kind: str = "caption_level", **more) -> Published:
    spec = PublishedTable(file=file, noise_kind=kind, **more)
    return Published(spec, FOLDER, dataset=Path(file).stem, protocol=protocol)


def test_there_are_files() -> None:
    assert {path.stem for path in FILES} == {"flickr30k", "coco", "cc152k", "cc120k"}


def test_every_row_has_a_source_and_every_doubtful_one_a_note(rows: pd.DataFrame) -> None:
    assert (rows["source"].str.len() > 0).all()
    assert (rows.loc[rows["status"].isin(["wrong", "rerun", "quoted"]), "note"].str.len() > 0).all()
    assert set(rows["status"]) <= {"printed", "quoted", "secondary", "rerun", "wrong"}


def test_recalls_sum_to_rsum_where_the_row_is_not_known_to_be_wrong(rows: pd.DataFrame) -> None:
    whole = rows[(rows["status"] != "wrong") & rows[list(RECALLS)].notna().all(axis=1)]
    assert len(whole) > 0
    assert ((whole[list(RECALLS)].sum(axis=1) - whole["rsum"]).abs() < 0.35).all()


def test_recalls_grow_with_the_rank(rows: pd.DataFrame) -> None:
    sound = rows[rows["status"] != "wrong"].dropna(subset=list(RECALLS))
    for way in ("i2t", "t2i"):
        assert (sound[f"{way}_r1"] <= sound[f"{way}_r5"]).all()
        assert (sound[f"{way}_r5"] <= sound[f"{way}_r10"]).all()


def test_a_file_is_about_one_dataset_and_rates_are_shares(rows: pd.DataFrame) -> None:
    assert rows["dataset"].nunique() == 1
    assert rows["rate"].dropna().between(0, 1).all()
    assert (rows.loc[rows["noise_kind"] == "none", "rate"] == 0).all()


def test_the_papers_one_sourced_value() -> None:
    value = published().find("crcl", "vse_infinity", 0.8)
    assert value is not None
    assert (value.metrics["rsum"], value.metrics["i2t_r1"], value.status) == (412.2, 55.3, "quoted")


def test_what_is_not_sourced_is_nothing() -> None:
    assert published().find("crcl", "vse_infinity", 0.4) is None


def test_reruns_stand_only_where_the_report_accepts_them() -> None:
    assert published(accept=["printed"]).find("crcl", "vse_infinity", 0.8) is None
    with pytest.raises(HarnessError, match=r"sources disagree: 419.14 .* 401.18 .* published.sources"):
        published(accept=["rerun"]).find("crcl", "vse_infinity", 0.8)
    chosen = published(accept=["rerun"], sources=["author log"]).find("crcl", "vse_infinity", 0.8)
    assert chosen is not None
    assert chosen.metrics["rsum"] == 419.14


def test_kinds_of_noise_are_never_mixed() -> None:
    """DECL at 20 %: 497.6 under caption-level noise, 494.7 under image-level noise."""
    caption = published(kind="caption_level").find("decl", "sgraf", 0.2)
    image = published(kind="image_level").find("decl", "sgraf", 0.2)
    assert caption is not None
    assert image is not None
    assert (caption.metrics["rsum"], image.metrics["rsum"]) == (497.6, 494.7)
    assert published(kind="caption_level").find("decl", "sgraf", 0.6) is None  # 450.6 is image-level


@pytest.mark.parametrize(
    ("file", "protocol", "expected"),
    [("flickr30k.csv", "1k", (507.8, 495.4, 480.3)), ("coco.csv", "coco_1k_5fold", (524.1, 518.4, 506.9))],
)
def test_srem_as_mgcs_quotes_it(file: str, protocol: str, expected: tuple[float, ...]) -> None:
    found = published(file, protocol=protocol, kind="mixed", accept=["secondary"])
    for rate, rsum in zip((0.2, 0.4, 0.6), expected, strict=True):
        value = found.find("srem", "unstated", rate)
        assert value is not None
        assert (value.metrics["rsum"], value.source) == (rsum, "MGCS paper (AAAI 2026) Table 3")
        assert published(file, protocol=protocol, accept=["secondary"]).find("srem", "unstated", rate) is None


def test_srem_on_real_noise_has_all_recalls_whatever_a_listing_lacks() -> None:
    value = published("cc152k.csv", kind="real", accept=["secondary"]).find("srem", "unstated", None)
    assert value is not None
    assert value.metrics["rsum"] == 372.2


def test_copies_of_mixed_noise_are_never_of_a_paper_itself(rows: pd.DataFrame) -> None:
    assert set(rows.loc[rows["noise_kind"] == "mixed", "status"]) <= {"secondary", "rerun", "wrong"}


def test_copies_that_disagree_are_told_apart_by_their_source() -> None:
    """NCR at 80 %: 21.0 in one paper, 36.4 in another."""
    with pytest.raises(HarnessError, match=r"sources disagree: 21 .* 36.4 .* published.sources"):
        published(kind="mixed", accept=["secondary"]).find("ncr", "sgr", 0.8)
    value = published(kind="mixed", accept=["secondary"], sources=["UCPM"]).find("ncr", "sgr", 0.8)
    assert value is not None
    assert value.metrics["rsum"] == 36.4


def test_clean_data_is_the_same_for_every_kind() -> None:
    for kind in ("caption_level", "image_level"):
        value = published(kind=kind).find("ncr", "sgr", 0.0)
        assert value is not None
        assert value.metrics["rsum"] == 502.7


def test_a_row_known_to_be_wrong_is_never_used() -> None:
    """DECL's README gives NCR's clean COCO row (522.5) as its 20 % row; NCR's own table says 518.5."""
    value = published("coco.csv", protocol="coco_1k_5fold").find("ncr", "sgr", 0.2)
    assert value is not None
    assert value.metrics["rsum"] == 518.5


def test_numbers_on_another_dataset_are_refused() -> None:
    spec = PublishedTable(file="flickr30k.csv", noise_kind="caption_level")
    with pytest.raises(HarnessError, match="numbers on flickr30k, but the runs are on twemoji, so they"):
        Published(spec, FOLDER, dataset="twemoji", protocol="1k")


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(HarnessError, match=r"does not exist; there are: cc120k.csv, cc152k.csv"):
        published("flickr.csv")

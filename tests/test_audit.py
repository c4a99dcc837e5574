"""Ranking, its quality against slow twins, and the best alternatives against the full score matrix."""

import base64
import io
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import write_pictures, zipped
from PIL import Image
from synthetic import write_dataset

from harness.audit.alternatives import best_alternatives
from harness.audit.cards import HEIGHT, MARGIN, WIDTH, sparkline
from harness.audit.detection import detect
from harness.audit.ranking import rank, wrong_calls
from harness.audit.thumbnails import thumbnails
from harness.backbones import SAF, Backbone, VSEInfinity
from harness.data import open_dataset
from harness.errors import HarnessError
from harness.evaluation.scoring import score_matrix


def test_ties_of_the_label_go_by_match_then_similarity_then_the_order_of_the_data() -> None:
    label = np.array([0.5, 0.0, 0.0, 0.0, 0.0, 0.0])
    match = np.array([0.0, 0.3, 0.1, 0.1, 0.2, 0.1])
    similarity = np.array([0.0, 0.0, 0.9, 0.4, 0.0, 0.4])
    ranking = rank(label, match, similarity)
    assert ranking.order.tolist() == [3, 5, 2, 4, 1, 0]
    assert ranking.ties.tolist() == [0, 0, 1, 2, 3, 4]
    assert ranking.rule == "label ascending, ties by match, then by similarity"


def test_without_labels_match_comes_first() -> None:
    ranking = rank(None, np.array([0.2, 0.1, 0.2]), np.array([0.5, 0.9, 0.4]))
    assert ranking.order.tolist() == [1, 2, 0]
    assert "no labels" in ranking.rule


def orders(noisy: np.ndarray, ties: np.ndarray) -> list[list[bool]]:
    """Every order that the ties leave open."""
    groups = [list(noisy[ties == tie]) for tie in np.unique(ties)]
    return [list(itertools.chain(*chosen)) for chosen in itertools.product(*map(itertools.permutations, groups))]


@pytest.mark.parametrize("seed", range(5))
def test_precision_and_recall_are_means_over_the_orders_of_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noisy = rng.random(7) < 0.5
    noisy[:2] = True, False
    ties = np.sort(rng.integers(0, 3, 7))
    found = detect(noisy, ties, cutoffs=(1, 2, 3, 5, 7, 100))
    every = orders(noisy, ties)
    assert [cut.k for cut in found.cutoffs] == [1, 2, 3, 5, 7]
    for cut in found.cutoffs:
        hits = np.mean([sum(order[: cut.k]) for order in every])
        assert cut.precision == pytest.approx(hits / cut.k)
        assert cut.recall == pytest.approx(hits / noisy.sum())
    assert found.r_precision == pytest.approx(np.mean([np.mean(order[: noisy.sum()]) for order in every]))
    wrong, true = ties[noisy], ties[~noisy]
    wins = [(a < b) + (a == b) / 2 for a in wrong for b in true]
    assert found.auc == pytest.approx(np.mean(wins))


def test_average_precision_without_ties_is_the_mean_precision_at_the_wrong_pairs() -> None:
    noisy = np.array([True, False, True, True, False, False, True])
    at = [np.mean(noisy[: k + 1]) for k in range(7) if noisy[k]]
    assert detect(noisy, np.arange(7)).average_precision == pytest.approx(np.mean(at))


def test_a_collapsed_model_scores_chance() -> None:
    noisy = np.arange(1000) < 400  # the wrong pairs first, which must not help
    found = detect(noisy, rank(np.zeros(1000), np.full(1000, 0.01), np.zeros(1000)).ties)
    assert {(cut.k, cut.precision) for cut in found.cutoffs} == {(100, 0.4), (500, 0.4), (1000, 0.4)}
    assert (found.r_precision, found.average_precision, found.auc) == pytest.approx((0.4, 0.4, 0.5))


def test_wrong_calls_are_true_pairs_among_the_lowest() -> None:
    clean = np.array([False, True, False, True, True, False])
    ranking = rank(None, np.array([0.1, 0.0, 0.2, 0.5, 0.15, 0.9]), np.zeros(6))  # order 1 0 4 2 3 5
    assert wrong_calls(ranking, clean, most=9).tolist() == [1, 4]
    assert wrong_calls(ranking, clean, most=1).tolist() == [1]


BACKBONES = {
    "vse_infinity": lambda dim, words: VSEInfinity(dim, words, embed_dim=8, word_dim=4),
    "saf": lambda dim, words: SAF(dim, words, embed_dim=8, word_dim=4, sim_dim=4, regions=8),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_alternatives_are_the_largest_of_the_whole_matrix(name: str, toy_data: Path) -> None:
    dataset = open_dataset("toy", toy_data)
    split = dataset.split("train")
    torch.manual_seed(0)
    backbone: Backbone = BACKBONES[name](dataset.region_dim, len(dataset.vocabulary))
    rng = np.random.default_rng(0)
    paired = rng.permutation(split.image_of_caption)
    shown = rng.choice(len(paired), 30, replace=False)
    shown[1] = np.flatnonzero(paired == paired[shown[0]])[-1]  # two pairs of one picture
    found = best_alternatives([backbone], split, paired, shown, "cpu")
    scores = score_matrix(backbone, split, "cpu").numpy()  # (images, captions)
    for row, pair in enumerate(shown):
        pictures = {image: scores[image, pair] for image in range(len(scores)) if image != paired[pair]}
        captions = {c: scores[paired[pair], c] for c in range(len(paired)) if paired[c] != paired[pair]}
        assert found.picture[row] != paired[pair]
        assert paired[found.caption[row]] != paired[pair]
        for choice, score, every in (
            (found.picture[row], found.picture_similarity[row], pictures),
            (found.caption[row], found.caption_similarity[row], captions),
        ):
            assert every[choice] == pytest.approx(max(every.values()), abs=1e-6)
            assert score == pytest.approx(every[choice], abs=1e-6)


def test_one_picture_has_no_other(toy_data: Path) -> None:
    dataset = open_dataset("toy", toy_data)
    split = dataset.split("train").images(1)
    backbone = BACKBONES["vse_infinity"](dataset.region_dim, len(dataset.vocabulary))
    found = best_alternatives([backbone], split, split.image_of_caption, np.array([2]), "cpu")
    assert (found.picture.tolist(), found.caption.tolist()) == ([-1], [-1])


def test_a_sparkline_runs_from_the_first_epoch_to_the_last_and_marks_pieces() -> None:
    line = sparkline(np.array([1.0, 0.0, 0.5]), [0, 0, 1])
    low, high, middle = HEIGHT - MARGIN, MARGIN, HEIGHT // 2
    assert line.points == f"{MARGIN},{high} {WIDTH // 2},{low} {WIDTH - MARGIN},{middle}"
    assert line.end == (WIDTH - MARGIN, middle)
    assert line.bounds == [WIDTH / 2 + (WIDTH / 2 - MARGIN) / 2]
    assert line.words == "label at the end of each epoch: piece 1: 1.00, 0.00, piece 2: 0.50"
    assert sparkline(np.array([0.25]), [0]).bounds == []


def test_pixels_beside_the_features_are_pictures(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "toy", images={"train": 3, "dev": 2})
    dataset = open_dataset("toy", tmp_path)
    np.save(folder / "train_pixels.npy", np.full((3, 64, 64, 3), 200, dtype=np.uint8))
    pictures = thumbnails(dataset, None)
    made = pictures(2, 32)
    assert made is not None
    assert (made["width"], made["height"], pictures.source) == (32, 32, "train_pixels.npy")
    content = base64.b64decode(made["src"].removeprefix("data:image/jpeg;base64,"))
    assert np.abs(np.asarray(Image.open(io.BytesIO(content))).astype(int) - 200).max() <= 2
    np.save(folder / "train_pixels.npy", np.zeros((4, 64, 64, 3), dtype=np.uint8))
    with pytest.raises(HarnessError, match=r"train_pixels.npy: 4 pictures for 3 images; build it again, or name"):
        thumbnails(dataset, None)
    (folder / "train_pixels.npy").unlink()
    assert thumbnails(dataset, None)(0, 32) is None


def test_pictures_from_a_folder_or_an_archive_keep_their_shape(tmp_path: Path, toy_data: Path) -> None:
    dataset = open_dataset("toy", toy_data)
    ids = dataset.split("train").image_ids
    Image.new("RGB", (320, 200), "red").save(write_pictures(tmp_path / "p", [ids[0]]) / (ids[1] + ".jpg"))
    (tmp_path / "p" / ids[2]).write_bytes(b"no picture")
    for source in (tmp_path / "p", zipped(tmp_path / "p", tmp_path / "p.zip", prefix="deep/")):
        pictures = thumbnails(dataset, source)
        sizes = [(made["width"], made["height"]) if made else None for made in (pictures(n, 160) for n in range(4))]
        assert sizes == [(32, 32), (160, 100), None, None]  # never larger; .jpg was tried; damaged; missing
        assert (pictures.found, pictures.missing) == (2, {2, 3})

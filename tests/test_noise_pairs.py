"""What a run is given of noise: the same pairs for every method, damaged captions included; descriptors; the grid."""

from pathlib import Path

import numpy as np
import pytest
from synthetic import write_dataset

from harness.data import Captions, Dataset, PixelDataset, open_dataset
from harness.data.descriptors import COMPONENTS, image_descriptors, principal
from harness.errors import HarnessError
from harness.grids import load_grid
from harness.grids.resolve import resolve_run
from harness.reporting import write_report
from harness.spec import Component, RunSpec
from harness.training.pairs import TrainingPairs, pairs_sha256, training_pairs


def run(noise: str, method: str = "infonce", **parameters: object) -> RunSpec:
    return RunSpec(
        dataset="toy",
        noise=Component(kind="noise", name=noise, parameters=parameters),
        backbone=Component(kind="backbone", name="vse_infinity"),
        method=Component(kind="method", name=method),
        seed=3,
    )


def pairs(toy_data: Path, noise: str, **parameters: object) -> TrainingPairs:
    return training_pairs(run(noise, **parameters), open_dataset("toy", toy_data))


@pytest.mark.parametrize(
    ("noise", "sha256"),
    [
        ("caption_level", "9ff5a92817261bb881bfb9d794fc6f8259c193a0cc861a666087571464aa9c09"),
        ("image_level", "87b4680829d51788ce83af4ccd1a75c1d4461a67ebfd3718951a2d8803be86d5"),
    ],
)
def test_pairs_that_runs_were_trained_on_stay(toy_data: Path, noise: str, sha256: str) -> None:
    assert pairs(toy_data, noise, rate=0.4).sha256 == sha256


@pytest.mark.parametrize(
    ("noise", "parameters"),
    [
        ("category_level", {"swap": "within", "categories": 10}),
        ("category_level", {"swap": "across", "categories": 10}),
        ("similarity_dependent", {"temperature": 0.05}),
        ("text_damage", {"strength": 0.5}),
    ],
)
def test_every_method_sees_the_same_pairs(toy_data: Path, noise: str, parameters: dict[str, object]) -> None:
    dataset = open_dataset("toy", toy_data)
    first, second = (training_pairs(run(noise, m, rate=0.4, **parameters), dataset) for m in ("infonce", "crcl"))
    assert first.sha256 == second.sha256
    assert first.split.texts == second.split.texts
    assert first.realised_rate == pytest.approx(0.4)
    assert first.realised_rate == 1 - first.clean.mean()
    assert first.sha256 != training_pairs(run(noise, rate=0.6, **parameters), dataset).sha256


def test_damaged_captions_are_wrong_pairs_in_new_words(toy_data: Path) -> None:
    dataset = open_dataset("toy", toy_data)
    written = dataset.split("train")
    noisy = training_pairs(run("text_damage", rate=0.4), dataset)
    assert (noisy.paired_image == written.image_of_caption).all()
    assert set(np.flatnonzero(~noisy.clean)) == set(noisy.damaged)
    assert len(noisy.damaged) == 400
    expected = [noisy.damaged.get(row, text) for row, text in enumerate(written.texts)]
    assert noisy.split.texts == expected
    again = dataset.captions_of(expected)  # all of them tokenised anew
    assert (noisy.split.captions.ids == again.ids).all()
    assert (noisy.split.captions.offsets == again.offsets).all()
    assert dataset.split("train") is written  # evaluation and other runs still read what was written
    assert written.texts != expected
    clean = training_pairs(run("text_damage", rate=0.0), dataset)
    assert noisy.sha256 != clean.sha256
    assert clean.sha256 == training_pairs(run("caption_level", rate=0.0), dataset).sha256
    assert pairs_sha256(noisy.paired_image, noisy.damaged) == noisy.sha256
    assert pairs_sha256(noisy.paired_image, {**noisy.damaged, 0: "other"}) != noisy.sha256


@pytest.mark.parametrize("noise", ["caption_level", "text_damage"])
def test_an_oracle_has_the_right_ones_of_the_same_pairs(toy_data: Path, noise: str) -> None:
    dataset = open_dataset("toy", toy_data)
    whole = training_pairs(run(noise, rate=0.4), dataset)
    oracle = training_pairs(run(noise, rate=0.4).model_copy(update={"oracle": True}), dataset)
    right = np.flatnonzero(whole.clean)
    assert len(oracle) == len(right) < len(whole)
    assert oracle.clean.all()
    assert (oracle.paired_image == whole.paired_image[right]).all()
    assert (oracle.paired_image == oracle.split.image_of_caption).all()
    assert oracle.split.texts == [whole.split.texts[row] for row in right]
    rows = np.array([0, len(right) - 1])
    for ours, theirs in zip(oracle.split.captions.padded(rows), whole.split.captions.padded(right[rows]), strict=True):
        assert (ours == theirs).all()
    assert (oracle.sha256, oracle.realised_rate) == (whole.sha256, whole.realised_rate)


def test_an_oracle_of_nothing_but_wrong_pairs_is_one_line(toy_data: Path) -> None:
    everything = run("category_level", rate=1.0, swap="across", categories=10).model_copy(update={"oracle": True})
    with pytest.raises(HarnessError, match=r"oracle = true: . of 1000 training pairs are right; accepted: at least 2"):
        training_pairs(everything, open_dataset("toy", toy_data))


def test_of_real_noise_there_is_no_oracle() -> None:
    table = {"dataset": "cc152k", "noise": {"name": "caption_level", "rate": 0.0}, "backbone": "vse_infinity"}
    with pytest.raises(HarnessError, match="oracle: nobody knows which pairs of cc152k are wrong"):
        resolve_run({**table, "method": "infonce", "schedule": {"epochs": 1}, "oracle": True}, where="here")


def test_captions_are_exchanged_row_by_row() -> None:
    captions = Captions(np.array([1, 2, 3, 4, 5, 6], dtype=np.int32), np.array([0, 2, 2, 3, 6]))
    by = Captions(np.array([7, 8, 9], dtype=np.int32), np.array([0, 3, 3]))
    changed = captions.replaced(np.array([2, 0]), by)
    rows = [changed.ids[a:b].tolist() for a, b in zip(changed.offsets, changed.offsets[1:], strict=False)]
    assert rows == [[], [], [7, 8, 9], [4, 5, 6]]
    assert changed.ids.dtype == np.int32
    nothing = captions.replaced(np.array([], dtype=int), Captions(by.ids[:0], np.array([0])))
    assert nothing.ids.tolist() == captions.ids.tolist()


def test_a_fault_of_noise_names_the_dataset(toy_data: Path) -> None:
    with pytest.raises(HarnessError, match=r"^toy: noise\.categories = 500: the training set has 200 images"):
        pairs(toy_data, "category_level", rate=0.4, swap="within", categories=500)


def test_descriptors_are_principal_components_of_the_mean_regions(tmp_path: Path) -> None:
    write_dataset(tmp_path / "toy", {"train": 60, "dev": 5, "test": 5}, dim=200, dtype=np.float16)
    dataset = open_dataset("toy", tmp_path)
    found = image_descriptors(dataset)
    assert found.shape == (60, COMPONENTS)
    assert found.dtype == np.float32
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    means = np.asarray(dataset.split("train").regions).astype(np.float64).mean(axis=1)
    means -= means.mean(axis=0)  # 60 images have 59 directions, so nothing is lost: cosines are those of the means
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    assert np.abs(found @ found.T - means @ means.T).max() < 2e-3


def test_few_components_keep_the_directions_of_most_variance() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((500, 30)) * np.array([5.0] * 3 + [0.01] * 27)).astype(np.float32)
    kept = principal(vectors.copy(), 3)
    centred = vectors[:, :3] - vectors[:, :3].mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    assert np.abs(kept @ kept.T - centred @ centred.T).max() < 0.05


def test_descriptors_are_kept_and_follow_the_features(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "toy")
    first = image_descriptors(open_dataset("toy", tmp_path))
    [kept] = folder.glob(".cache/descriptors-*.npy")
    np.save(kept, first + 1)  # to see that it is read
    assert (image_descriptors(open_dataset("toy", tmp_path)) == first + 1).all()
    kept.write_text("damaged")
    assert (image_descriptors(open_dataset("toy", tmp_path)) == first).all()
    write_dataset(tmp_path / "toy", seed=1)
    assert (image_descriptors(open_dataset("toy", tmp_path)) != first).any()


def test_a_backbone_that_reads_pixels_gets_the_same_pairs(toy_data: Path) -> None:
    dataset = open_dataset("toy", toy_data)
    pixels = PixelDataset(dataset, lambda texts: [[0, 1] for _ in texts], 2)
    assert (image_descriptors(pixels) == image_descriptors(dataset)).all()


def test_features_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "toy")
    features = np.load(folder / "train_ims.npy")
    features[7, 0, 0] = np.nan
    np.save(folder / "train_ims.npy", features)
    with pytest.raises(HarnessError, match="image 7 has features that are not finite; run `harness data check`"):
        image_descriptors(Dataset("toy", folder, open_dataset("toy", tmp_path).card))


def test_the_grid_has_every_type_at_equal_rates() -> None:
    grid = load_grid("noise_types")
    assert len(grid.cells) == 6 * 3 * 3
    for cell in grid.cells:
        assert cell.run.noise.parameters["rate"] == cell.place["noise.rate"]
    published = {cell.fingerprint for cell in load_grid("flickr30k_noise").cells}
    for cell in grid.cells:  # one training for both grids
        assert (cell.fingerprint in published) == (cell.place["noise"] == "uniform")


REPORT = """
title = "Types of noise"
grids = ["noise_types"]
rows = ["noise.rate", "noise", "method"]
metrics = ["i2t_r1", "rsum"]
protocol = "1k"
[names]
noise = "Type"
[values.noise]
similar = "similarity-dependent"
[figure]
where = { noise = ["within"] }
"""


def test_a_report_over_types_of_noise(tmp_path: Path) -> None:
    (tmp_path / "types.toml").write_text(REPORT)
    text, _ = write_report(str(tmp_path / "types.toml"), runs=tmp_path / "runs", out=tmp_path / "out")
    kinds = "caption-level, category-level, image-level, similarity-dependent, text-damage noise"
    assert kinds in text
    assert "| similarity-dependent | crcl" in text
    assert "| Type" in text

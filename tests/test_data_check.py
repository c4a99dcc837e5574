import json
from pathlib import Path

import numpy as np
import pytest
from synthetic import write_dataset

from harness.data.check import Finding, check_dataset
from harness.errors import HarnessError
from harness.evaluation import protocols


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "toy", {"train": 40, "dev": 6, "test": 6}, duplicated=True)


def findings(toy: Path, noise_file: Path | None = None) -> dict[str, Finding]:
    found = check_dataset("toy", toy.parent, noise_file)
    assert len({finding.name for finding in found}) == len(found)
    return {finding.name: finding for finding in found}


def bad(toy: Path, noise_file: Path | None = None) -> dict[str, tuple[str, str]]:
    found = findings(toy, noise_file).values()
    return {finding.name: (finding.level, finding.text) for finding in found if finding.level != "ok"}


def change(path: Path, row: int, value: float) -> None:
    features = np.load(path)
    features[row] = value
    np.save(path, features)


def test_a_good_data_set(toy: Path) -> None:
    found = findings(toy)
    assert bad(toy) == {}
    assert found["train counts"].text == "40 images, 200 captions, 5 each"
    assert found["test copies"].text == "each image's row is there 5 times; one is used"
    assert "train copies" not in found
    assert found["dev shape"].text == "8 regions of 16 float32 numbers"
    assert found["dev values"].text == "3,840 values in 30 rows, all finite"
    assert "built from train and dev" in found["test vocabulary"].text
    assert found["train captions"].text.endswith("9 words, median 9")


def test_missing_data_raises_and_a_missing_split_is_a_finding(toy: Path) -> None:
    with pytest.raises(HarnessError, match="flickr30k"):
        check_dataset("flickr30k", toy.parent)
    (toy / "test_ims.npy").unlink()
    assert bad(toy) == {"test": ("error", f"toy: {toy} lacks test_ims.npy; make them with `harness data build`")}


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_split_that_no_card_promises_is_missed_too(toy: Path, split: str) -> None:
    (toy / "card.json").unlink()
    for file in toy.glob(f"{split}_*"):
        file.unlink()
    level, text = bad(toy)[split]
    assert level == "error"
    assert f"it is not here; accepted: {split}_ims.npy and {split}_caps.txt (or .tsv)" in text


def test_a_test_split_that_cannot_be_scored(toy: Path) -> None:
    assert findings(toy)["test protocols"].level == "ok"
    card = json.loads((toy / "card.json").read_text())
    (toy / "card.json").write_text(json.dumps({**card, "protocols": ["1k", "5f"]}))
    [finding] = [
        found for found in check_dataset("toy", toy.parent, fit=protocols.fit) if found.name == "test protocols"
    ]
    assert finding.level == "error"
    assert "'1k' needs 1000 images, the split has 6; accepted: full" in finding.text
    assert "'5f' is unknown" in finding.text


def test_counts_and_shapes_against_the_card(toy: Path) -> None:
    for split in ("train", "dev"):
        np.save(toy / f"{split}_ims.npy", np.random.default_rng(len(split)).random((4, 3, 16), np.float32))
        (toy / f"{split}_caps.txt").write_text("a dog\n" * 20)
        (toy / f"{split}_ids.txt").unlink()
    text = "4 images, 20 captions, 5 each; the card of toy says 40 images"
    assert bad(toy)["train counts"] == ("error", text)
    assert bad(toy)["dev counts"] == ("error", text.replace("40", "6"))
    shape = "3 regions of 16 float32 numbers; the card of toy says 8 regions of 16"
    assert bad(toy)["train shape"] == ("error", shape)


@pytest.mark.parametrize("chunk", [1, 10**9])
def test_values(toy: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr("harness.data.check.CHUNK_BYTES", chunk)
    change(toy / "train_ims.npy", 7, np.nan)
    change(toy / "train_ims.npy", 9, np.inf)
    change(toy / "train_ims.npy", 30, 0)
    text = (
        "5,120 values in 40 rows; rows with NaN or infinity: 2, the first is row 7; rows of zeros alone: 1, "
        "the first is row 30"
    )
    assert bad(toy) == {"train values": ("error", text)}


def test_one_row_that_is_no_copy(toy: Path) -> None:
    rows = np.repeat(np.random.default_rng(0).random((40, 8, 16), np.float32), 5, axis=0)
    rows[17] += 1  # image 3, not among the sampled ones
    np.save(toy / "train_ims.npy", rows)
    level, text = bad(toy)["train copies"]
    assert (level, text) == (
        "error",
        "each image's row is there 5 times; one is used; row 17 is no copy (such rows: 1)",
    )


def test_duplicates_within_and_across_splits(toy: Path) -> None:
    train = np.load(toy / "train_ims.npy")
    train[5] = train[2]
    np.save(toy / "train_ims.npy", train)
    dev = np.load(toy / "dev_ims.npy")
    dev[:5] = train[11]
    np.save(toy / "dev_ims.npy", dev)
    ids = (toy / "train_ids.txt").read_text().splitlines()
    (toy / "test_ids.txt").write_text("\n".join(ids[:6]))
    found = bad(toy)
    assert found["train duplicates"] == (
        "warning",
        "features compared with all before; 1 are alike, such as train 5 = train 2",
    )
    assert found["dev duplicates"] == (
        "warning",
        "features compared with all before; 1 are alike, such as dev 0 = train 11",
    )
    assert found["test ids"] == (
        "warning",
        "image ids compared with all before; 6 occur twice, such as test 0 = train 0",
    )


def test_captions_and_coverage(toy: Path) -> None:
    lines = (toy / "test_caps.txt").read_text().splitlines()
    lines[4], lines[9] = "", "new " * 120
    (toy / "test_caps.txt").write_text("\n".join(lines))
    found = bad(toy)
    assert found["test captions"][0] == "warning"
    assert "1 are empty, the first is line 5; 1 have more than 100 and slow" in found["test captions"][1]
    assert found["test captions"][1].endswith("the longest is line 10")
    words = 28 * 9 + 120
    assert found["test vocabulary"][0] == "warning"
    assert found["test vocabulary"][1].startswith(f"{120 / words:.2%} of words are unknown to the 5")


def test_noise_file(toy: Path, tmp_path: Path) -> None:
    truth = np.arange(200) // 5
    noisy = truth.copy()
    noisy[:80] = (truth[:80] + 1) % 40
    path = tmp_path / "toy_0.4.npy"

    def saved(index: np.ndarray, path: Path = path) -> tuple[str, str]:
        np.save(path, index)
        finding = findings(toy, path)["noise file"]
        return finding.level, finding.text

    assert saved(noisy) == ("ok", f"{path}: 200 entries, realised rate 0.4000")
    named = tmp_path / "toy_0.2.npy"
    assert saved(noisy, named) == ("error", f"{named}: 200 entries, realised rate 0.4000; its name says 0.2")
    by_image = np.arange(40)
    by_image[:16] = np.roll(by_image[:16], 1)
    assert saved(by_image) == ("ok", f"{path}: 40 entries, realised rate 0.4000")
    accepted = "accepted: whole numbers, 200 (one per caption) or 40 (one per image)"
    assert saved(noisy[:-1]) == ("error", f"{path}; shape (199,); {accepted}")
    assert saved(noisy.astype(float)) == ("error", f"{path}; not an array of whole numbers; {accepted}")
    assert saved(truth + 2) == ("error", f"{path}; values 2 to 41; accepted: 0 to 39")
    path.write_bytes(b"")
    assert findings(toy, path)["noise file"].level == "error"
    assert "cannot be read" in findings(toy, tmp_path / "absent.npy")["noise file"].text

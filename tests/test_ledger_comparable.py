"""Which finished cells may stand side by side."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ledger_toys import a_dataset, a_result, a_spec
from synthetic import write_dataset

from harness.data import PixelDataset, open_dataset
from harness.data.cards import DatasetCard
from harness.data.now import DataNow
from harness.ledger import Cell, Ledger
from harness.ledger.comparable import Nothing, Trained, again, apart, differences, outdated, together
from harness.spec.fingerprint import ALGORITHM

OLD, NEW = "aa" * 32, "bb" * 32


@dataclass
class There:
    digests: dict[str, str]
    dev_images: int | None = None
    folder: Path = Path("data/toy")


@dataclass
class Fake:
    """A data folder that holds `toy`, and noise files by their sha256."""

    toy: There | None = None
    files: dict[str, str] = field(default_factory=dict)

    def state(self, dataset: str, /) -> There | None:
        return self.toy if dataset == "toy" else None

    def sha256(self, file: str, /) -> str:
        return self.files.get(file, "")


HOLDS_NEW = Fake(There({"regions": NEW, "pixels": "cc" * 32}))


def a_cell(
    root: Path, digest: str = OLD, *, seed: int = 0, backbone: str = "vse_infinity", pairs: str = "ab" * 32,
    noise: dict[str, Any] | None = None, data: dict[str, Any] | None = None, run: dict[str, Any] | None = None,
    finished: str = "2026-01-01T00:00:00+00:00", **result: Any,
) -> Cell:  # fmt: skip
    number = len(list(root.glob("*")))
    what = {"dataset": "toy", "backbone": {"name": backbone}, "noise": noise or {"name": "caption_level", "rate": 0.4},
            "seed": seed, "evaluation": {"dev_images": None}}  # fmt: skip
    cell = Ledger(root).add(a_spec(f"{number:016x}", cell=f"run {number}", run={**what, **(run or {})}))
    about = {"dataset": a_dataset(digest=digest, **(data or {})), "noise": {"realised_rate": 0.4, "sha256": pairs}}
    cell.write_result(a_result(finished=finished, **{**about, **result}))
    return cell


def kept(cells: list[Cell], now: Any) -> list[Cell]:
    left_out = together(Trained.of(cells), now)
    return [cell for cell in cells if cell.fingerprint not in left_out]


# -- one cell against now ------------------------------------------------------------------------------------------


def test_a_cell_of_other_data_than_now_is_told(tmp_path: Path) -> None:
    old, new = a_cell(tmp_path, OLD), a_cell(tmp_path, NEW)
    assert differences(old, HOLDS_NEW) == {
        "data": "trained on other data than data/toy holds now (digest aaaaaaaa, there bbbbbbbb)"
    }
    assert differences(new, HOLDS_NEW) == {}


def test_nothing_is_claimed_where_nothing_is_known(tmp_path: Path) -> None:
    assert differences(a_cell(tmp_path), Fake()) == {}
    assert differences(a_cell(tmp_path), Nothing()) == {}
    waiting = Ledger(tmp_path).add(a_spec("waiting"))
    assert differences(waiting, HOLDS_NEW) == {}
    assert Trained.of([waiting]) == []


def test_a_cell_that_reads_pixels_has_the_digest_of_pixels(tmp_path: Path) -> None:
    of_now = a_cell(tmp_path, "cc" * 32, data={"reads": "pixels"})
    before_results_said_so = a_cell(tmp_path, "cc" * 32, backbone="clip")
    of_then = a_cell(tmp_path, OLD, data={"reads": "pixels"})
    assert differences(of_now, HOLDS_NEW) == differences(before_results_said_so, HOLDS_NEW) == {}
    assert "there cccccccc" in differences(of_then, HOLDS_NEW)["data"]
    assert differences(of_then, Fake(There({"regions": NEW}))) == {}  # the folder has no pixels: nothing is known


def test_a_card_that_lets_other_dev_images_select_is_told(tmp_path: Path) -> None:
    now = Fake(There({"regions": NEW}, dev_images=100))
    assert differences(a_cell(tmp_path, NEW, data={"dev_images": 100}), now) == {}
    assert differences(a_cell(tmp_path, NEW), now) == {}  # the version before did not say
    own = a_cell(tmp_path, NEW, data={"dev_images": 5}, run={"evaluation": {"dev_images": 5}})
    assert differences(own, now) == {}  # the run asked for these, whatever the card says
    words = differences(a_cell(tmp_path, NEW, data={"dev_images": None}), now)["data"]
    assert words == "selected on all dev images, but the card of data/toy now says the first 100"


def test_a_cell_of_another_version_of_the_code_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = a_cell(tmp_path)
    monkeypatch.setattr("harness.ledger.comparable.ALGORITHM", ALGORITHM + 1)
    assert differences(cell, Nothing()) == {"code": "trained by version 1 of the code, which is now 2"}


def test_a_cell_of_another_noise_file_is_told(tmp_path: Path) -> None:
    cell = a_cell(tmp_path, noise={"name": "index_file", "path": "a.npy", "sha256": "12"})
    assert differences(cell, Fake(files={"a.npy": "12"})) == differences(cell, Fake()) == {}
    assert differences(cell, Fake(files={"a.npy": "34"})) == {
        "noise file": "trained on another noise file than a.npy is now"
    }


def test_the_command_that_trains_again(tmp_path: Path) -> None:
    def spec(**changes: Any) -> Cell:
        return Ledger(tmp_path).add(a_spec(f"{len(list(tmp_path.glob('*')))}", **changes))

    assert again(spec(grid="demo")) == "`harness run demo --retrain`"
    assert again(spec(grid="demo-smoke")) == "`harness run demo --smoke --retrain`"
    assert again(spec(grid="beta", sweep="beta", trial=3)) == "`harness sweep beta --retrain`"
    assert again(spec(members=["ab", "cd"])) == "`harness ensemble ab cd`"
    assert again(spec(grid="train")) == "the same `harness train` with --retrain"


# -- two cells against each other ----------------------------------------------------------------------------------


def differ(a: Cell, b: Cell, now: Any = None) -> list[str]:
    first, second = Trained.of([a, b])
    return list(apart(first, second, now or Nothing()))


def test_two_cells_are_apart_by_data_code_or_pairs(tmp_path: Path) -> None:
    cell = a_cell(tmp_path, OLD)
    assert differ(cell, a_cell(tmp_path, OLD)) == []
    assert differ(cell, a_cell(tmp_path, NEW)) == ["data"]
    assert differ(cell, a_cell(tmp_path, OLD, data={"name": "other"})) == ["data"]
    assert differ(cell, a_cell(tmp_path, OLD, algorithm=2)) == ["code"]
    assert differ(cell, a_cell(tmp_path, OLD, pairs="ef" * 32)) == ["training pairs"]


def test_pixels_and_regions_are_of_one_state_where_it_lies_there(tmp_path: Path) -> None:
    regions, pixels, old = a_cell(tmp_path, NEW), a_cell(tmp_path, "cc" * 32, backbone="clip"), a_cell(tmp_path, OLD)
    assert differ(regions, pixels, HOLDS_NEW) == []
    assert differ(regions, pixels) == ["data"]
    assert differ(old, pixels, HOLDS_NEW) == ["data"]


def test_an_ensemble_is_outdated_when_a_member_was_trained_again(tmp_path: Path) -> None:
    members = [a_cell(tmp_path), a_cell(tmp_path)]
    times = [(member.result() or {})["finished"] for member in members]
    whole, before = a_cell(tmp_path, members_finished=times), a_cell(tmp_path)
    assert not any(outdated(seen, Trained.of(members)) for seen in Trained.of([whole, before]))
    later = [members[0], a_cell(tmp_path, finished="2026-02-01T00:00:00+00:00")]
    assert outdated(Trained.of([whole])[0], Trained.of(later))
    assert outdated(Trained.of([before])[0], Trained.of([a_cell(tmp_path, NEW), members[1]]))


# -- many cells: which may be averaged -----------------------------------------------------------------------------


def test_what_lies_there_now_counts_even_where_it_is_the_minority(tmp_path: Path) -> None:
    cells = [a_cell(tmp_path, digest) for digest in (OLD, NEW, OLD)]
    assert kept(cells, HOLDS_NEW) == [cells[1]]
    assert together(Trained.of(cells), HOLDS_NEW) == {
        cell.fingerprint: "trained on another state of the data" for cell in (cells[0], cells[2])
    }


def test_else_the_most_frequent_state_counts_and_of_equals_the_latest(tmp_path: Path) -> None:
    cells = [a_cell(tmp_path, digest) for digest in (OLD, NEW, OLD)]
    assert kept(cells, Nothing()) == [cells[0], cells[2]]
    assert kept(cells, Fake(There({"regions": "dd" * 32}))) == [cells[0], cells[2]]  # none of them is of now
    late = a_cell(tmp_path, NEW, finished="2026-01-02T00:00:00+00:00")
    assert kept([*cells, late], Nothing()) == [cells[1], late]


def test_pixels_and_regions_stand_in_one_table(tmp_path: Path) -> None:
    cells = [a_cell(tmp_path, NEW), a_cell(tmp_path, NEW), a_cell(tmp_path, "cc" * 32, backbone="clip")]
    assert kept(cells, HOLDS_NEW) == kept(cells, Nothing()) == cells


def test_two_versions_of_the_code_are_not_averaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [a_cell(tmp_path, algorithm=algorithm) for algorithm in (1, 1, 2)]
    monkeypatch.setattr("harness.ledger.comparable.ALGORITHM", 2)
    assert kept(cells, Nothing()) == [cells[2]]
    assert kept(cells[:2], Nothing()) == cells[:2]


def test_other_pairs_at_one_noise_and_seed_are_left_out(tmp_path: Path) -> None:
    """Every method is to see the same pairs; a seed or a rate more has pairs of its own."""
    cells = [
        a_cell(tmp_path), a_cell(tmp_path), a_cell(tmp_path, pairs="ef" * 32),
        a_cell(tmp_path, seed=1, pairs="01" * 32),
        a_cell(tmp_path, noise={"name": "caption_level", "rate": 0.2}, pairs="23" * 32),
    ]  # fmt: skip
    assert kept(cells, Nothing()) == [cell for cell in cells if cell is not cells[2]]


def test_other_numbers_of_dev_images_are_left_out(tmp_path: Path) -> None:
    cells = [a_cell(tmp_path, NEW, data={"dev_images": count}) for count in (None, 5, 5)]
    silent = a_cell(tmp_path, NEW)
    own = a_cell(tmp_path, NEW, data={"dev_images": 7}, run={"evaluation": {"dev_images": 7}})
    assert kept([*cells, silent, own], Nothing()) == [*cells[1:], silent, own]
    assert kept([*cells, silent, own], Fake(There({"regions": NEW}))) == [cells[0], silent, own]


# -- what lies there -----------------------------------------------------------------------------------------------


def test_the_state_of_a_folder_follows_its_files(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "toy", {"train": 20, "dev": 5, "test": 5})
    before = DataNow(tmp_path).state("toy")
    assert before is not None
    dataset = open_dataset("toy", tmp_path)
    pixels = PixelDataset(dataset, lambda texts: [[] for _ in texts], 9).digest()
    assert before.digests == {"regions": dataset.digest(), "pixels": pixels}
    assert (before.folder, before.dev_images) == (folder, None)
    captions = (folder / "train_caps.txt").read_text()
    (folder / "train_caps.txt").write_text(captions.replace("near", "beside"))
    now = DataNow(tmp_path)
    changed = now.state("toy")
    assert changed is not None
    assert all(changed.digests[kind] != before.digests[kind] for kind in before.digests)
    assert now.state("toy") is changed  # looked at once
    card = DatasetCard.read(folder)
    assert card is not None
    card.model_copy(update={"dev_images": 3}).write(folder)
    mended = DataNow(tmp_path).state("toy")
    assert mended is not None
    assert mended.dev_images == 3


def test_nothing_is_said_of_data_that_are_not_there_or_not_whole(tmp_path: Path) -> None:
    now = DataNow(tmp_path)
    assert now.state("toy") is None
    assert now.state("flickr30k") is None
    folder = write_dataset(tmp_path / "toy", {"train": 20, "dev": 5, "test": 5})
    for file in folder.glob("*_pixels.npy"):
        file.unlink()
    without = DataNow(tmp_path).state("toy")
    assert without is not None
    assert list(without.digests) == ["regions"]
    (folder / "dev_ims.npy").write_bytes(b"damaged")
    assert DataNow(tmp_path).state("toy") is None
    assert DataNow(tmp_path).sha256(str(folder / "nothing.npy")) == ""
    np.save(folder / "noise.npy", np.arange(3))
    assert len(DataNow(tmp_path).sha256(str(folder / "noise.npy"))) == 64

"""Declared grids: expansion, and one clear line for every mistake."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from toy import write_grid

from harness.errors import HarnessError
from harness.grids import declarations, load_grid
from harness.grids.tables import merge, nested
from harness.grids.toml import to_toml
from harness.launch.prepare import prepare_data, refuse_unscorable
from harness.spec import RunSpec, fingerprint

AXES = """
[axes]
"noise.rate" = [0.0, 0.4]
seed = [0, 1]
[axes.method.infonce]
method.name = "infonce"
schedule.epochs = 3
[axes.method.crcl]
method = { name = "crcl", pieces = [4] }
"""


def test_a_grid_is_the_product_of_its_axes(tmp_path: Path) -> None:
    grid = load_grid(write_grid(tmp_path, AXES))
    assert len(grid.cells) == 2 * 2 * 2
    assert grid.cells[0].name == "noise.rate=0.0 seed=0 infonce"
    assert {c.run.method.name for c in grid.cells} == {"infonce", "crcl"}
    assert {c.run.noise.parameters["rate"] for c in grid.cells} == {0.0, 0.4}
    assert len({c.fingerprint for c in grid.cells}) == len(grid.cells)


def test_only_takes_the_cells_with_these_values(tmp_path: Path) -> None:
    grid = load_grid(write_grid(tmp_path, AXES))
    assert len(grid.only({"method": ["crcl"], "noise.rate": ["0.4"]})) == 2
    assert len(grid.only({"method": ["crcl", "infonce"], "seed": ["1"]})) == 4
    with pytest.raises(HarnessError, match="did you mean 'method'"):
        grid.only({"metod": ["crcl"]})
    with pytest.raises(HarnessError, match=r"no cell of toy fits; it has noise.rate = 0.0, 0.4"):
        grid.only({"noise.rate": ["0.5"]})


def test_an_exception_changes_the_cells_it_names_alone(tmp_path: Path) -> None:
    text = AXES + '[[exception]]\nwhere = { method = "crcl", "noise.rate" = [0.4] }\nrun.method.tau = 0.1\n'
    taus = {c.name: c.run.method.parameters.get("tau") for c in load_grid(write_grid(tmp_path, text)).cells}
    assert taus["noise.rate=0.4 seed=1 crcl"] == 0.1
    assert taus["noise.rate=0.0 seed=1 crcl"] == 0.05
    assert taus["noise.rate=0.4 seed=1 infonce"] == 0.05


def test_smoke_lays_its_own_values_over_the_grid(tmp_path: Path) -> None:
    path = write_grid(tmp_path, AXES + "[smoke]\nrun.schedule.batch_size = 8\naxes = { seed = [5] }\n")
    grid = load_grid(path, smoke=True)
    assert grid.name == "toy-smoke"
    assert {c.run.seed for c in grid.cells} == {5}
    assert {c.run.schedule.batch_size for c in grid.cells} == {8}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('pieces = [4]', 'pieces = [4], betaa = 0.5'), "method.betaa = 0.5: unknown key; did you mean 'beta'?"),
        (('pieces = [4]', 'pieces = [4], beta = 1.7'), "method.beta = 1.7: accepted: 1 or less"),
        (('pieces = [4]', 'pieces = [2]'), "a piece of 2 epochs corrects no label"),
        (('"crcl", p', '"crlc", p'), "method.name = 'crlc': unknown method; did you mean 'crcl'?"),
        (('[0.0, 0.4]', '[0.0, 1.4]'), "noise.rate = 1.4: accepted: 1 or less"),
        (('schedule.epochs = 3', 'schedule.epoch = 3'), "schedule.epoch = 3: unknown key; did you mean 'epochs'?"),
        (('schedule.epochs = 3', ''), "schedule.epochs is missing"),
        (('seed = [0, 1]', 'seed = [0, 0]'), "are the same run; drop one"),
        (('[axes]', '[axis]'), "axis = "),
        (('[axes]', '[axes'), "is not TOML"),
        (('pieces = [4]', 'pieces = [4], epsilon = 1.0'), "method.epsilon = 1.0: accepted: less than 1"),
        (('pieces = [4]', 'pieces = [4], tau = 0'), "method.tau = 0: accepted: more than 0"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_file_key_value_and_what_is_accepted(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    assert change[0] in AXES
    path = write_grid(tmp_path, AXES.replace(*change))
    with pytest.raises(HarnessError, match=re.escape(message)) as caught:
        load_grid(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_an_unknown_grid_names_those_there_are() -> None:
    with pytest.raises(HarnessError, match=r"did you mean 'demo'\? accepted: .*flickr30k_noise"):
        load_grid("demoo")


@pytest.mark.parametrize("name", sorted(declarations("experiments")))
def test_every_shipped_grid_expands(name: str) -> None:
    assert load_grid(name).cells
    assert load_grid(name, smoke=True).cells


def test_a_component_under_another_name_starts_afresh() -> None:
    base = {"backbone": {"name": "vse_infinity", "gpo_dim": 8}, "seed": 0}
    assert merge(base, nested("backbone", "saf"))["backbone"] == {"name": "saf"}
    assert merge(base, nested("backbone.embed_dim", 4))["backbone"]["gpo_dim"] == 8
    assert merge(base, {"backbone": {"name": "vse_infinity", "embed_dim": 4}})["backbone"]["gpo_dim"] == 8
    assert base["backbone"] == {"name": "vse_infinity", "gpo_dim": 8}


VARY = """
method = { name = "crcl", pieces = [3, 4], beta = 0.8 }
[axes]
seed = [0, 1]
[vary]
"method.beta" = [0.0, 0.8, 1.0]
"method.pieces" = [[7], [3, 4], [3, 3, 3]]
"""


def test_vary_takes_one_key_at_a_time(tmp_path: Path) -> None:
    grid = load_grid(write_grid(tmp_path, VARY))
    names = [cell.name for cell in grid.cells if cell.place["seed"] == 0]
    # beta 0.8 and pieces 3-4 are the run itself: one cell, the base
    assert names == ["seed=0 " + word for word in ("base", "beta=0.0", "beta=1.0", "pieces=7", "pieces=3-3-3")]
    by_name = {cell.name: cell for cell in grid.cells}
    assert by_name["seed=1 beta=0.0"].place == {"seed": 1, "parameter": "method.beta", "value": 0.0}
    assert by_name["seed=1 beta=0.0"].run.method.parameters["pieces"] == [3, 4]
    assert by_name["seed=1 pieces=7"].run.method.parameters["beta"] == 0.8
    assert grid.axes["parameter"] == ["base", "method.beta", "method.pieces"]
    assert [cell.name for cell in grid.only({"value": ["3-3-3"], "seed": ["1"]})] == ["seed=1 pieces=3-3-3"]


def test_vary_refuses_a_value_out_of_range_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"cell 'seed=0 beta=1.5': method.beta = 1.5: accepted: 1 or less"):
        load_grid(write_grid(tmp_path, VARY.replace("[0.0, 0.8, 1.0]", "[1.5]")))


def test_smoke_may_vary_less(tmp_path: Path) -> None:
    path = write_grid(tmp_path, VARY + "[smoke]\nvary = { 'method.beta' = [0.5] }\n")
    assert len(load_grid(path, smoke=True).cells) == 2 * 2


def test_the_fingerprint_covers_the_science_alone(tmp_path: Path) -> None:
    first, *_ = load_grid(write_grid(tmp_path, AXES)).cells
    again, *_ = load_grid(write_grid(tmp_path, AXES, name="other")).cells
    assert again.fingerprint == first.fingerprint
    spelt_out = AXES.replace("pieces = [4]", "pieces = [4], beta = 0.8")
    assert load_grid(write_grid(tmp_path, spelt_out)).cells[1].fingerprint == fingerprint(
        load_grid(write_grid(tmp_path, AXES)).cells[1].run
    )
    changed = first.run.model_copy(update={"seed": 7})
    assert fingerprint(changed) != first.fingerprint


def test_a_run_survives_the_ledger(tmp_path: Path) -> None:
    for cell in load_grid(write_grid(tmp_path, AXES)).cells:
        again = RunSpec.from_table(cell.entry("toy")["run"])
        assert again == cell.run
        assert fingerprint(again) == cell.fingerprint


def test_an_index_file_counts_by_its_content_and_not_by_its_place(tmp_path: Path) -> None:
    def fingerprint_of(path: Path) -> str:
        text = f'[axes]\nseed = [0]\n[axes.method.a]\nmethod = "infonce"\nschedule.epochs = 1\n[axes.noise.a]\n' \
               f'noise = {{ name = "index_file", rate = 0.4, path = "{path}" }}\n'  # fmt: skip
        return load_grid(write_grid(tmp_path, text)).cells[0].fingerprint

    here, there, other = tmp_path / "a.npy", tmp_path / "b.npy", tmp_path / "c.npy"
    np.save(here, np.arange(5))
    np.save(there, np.arange(5))
    np.save(other, np.arange(6))
    assert fingerprint_of(here) == fingerprint_of(there)
    assert fingerprint_of(here) != fingerprint_of(other)


def test_toml_is_read_back_as_it_was_written() -> None:
    value = {"a b": [1, 2.5, [1e-5, True], 'é "q" [\n,\n] \\'], "c": {"d.e": {}, "f": (1, 2)}, "g": -0.0}
    text = to_toml({**value, "none": None})
    assert tomllib.loads(text) == {**value, "c": {"d.e": {}, "f": [1, 2]}}
    assert '"a b" = [1, 2.5, [1e-05, true], ' in text


def test_settings_lie_over_every_cell_and_are_said_in_its_name(tmp_path: Path) -> None:
    text = AXES + '[[exception]]\nwhere = { method = "crcl" }\nrun.method.tau = 0.1\n'
    path = write_grid(tmp_path, text)
    plain = load_grid(path).cells
    grid = load_grid(path, settings={"method.tau": 0.2, "noise": "image_level", "schedule.lr": 1e-4})
    assert len({cell.fingerprint for cell in [*plain, *grid.cells]}) == 2 * len(plain)
    assert {cell.run.method.parameters["tau"] for cell in grid.cells} == {0.2}  # over variants and exceptions
    assert {(cell.run.noise.name, cell.run.noise.parameters["rate"]) for cell in grid.cells} == {
        ("image_level", 0.0),  # the axis still says the rate
        ("image_level", 0.4),
    }
    assert grid.cells[0].name == "noise.rate=0.0 seed=0 infonce method.tau=0.2 noise=image_level schedule.lr=0.0001"
    assert grid.axes["method.tau"] == [0.2]
    crcl = load_grid(path, only={"method": ["crcl"]}, settings={"method.beta": 0.5, "augmentation": None})
    assert {cell.run.method.parameters["beta"] for cell in crcl.cells} == {0.5}
    assert {cell.run.augmentation for cell in crcl.cells} == {None}
    with pytest.raises(HarnessError, match=r"cell '.* infonce method.beta=0.5': method.beta = 0.5: unknown key"):
        load_grid(path, settings={"method.beta": 0.5})  # which not every method of the grid has


@pytest.mark.parametrize(
    ("key", "value"), [("noise.rate", 0.1), ("noise", {"name": "caption_level", "rate": 0.1}), ("seed", 3)]
)
def test_what_the_cells_differ_in_cannot_be_set_for_all(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(HarnessError, match=r"^--set (noise\.rate|seed): the cells of toy differ in it; accepted: "):
        load_grid(write_grid(tmp_path, AXES), settings={key: value})


def test_the_component_that_variants_name_and_a_varied_key_cannot_be_set_either(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"^--set method.name: .* by --only: infonce, crcl$"):
        load_grid(write_grid(tmp_path, AXES), settings={"method": "rcl"})
    with pytest.raises(HarnessError, match=r"^--set method.beta: .* by --only: 0.0, 0.8, 1.0$"):
        load_grid(write_grid(tmp_path, VARY), settings={"method.beta": 0.5})
    backbones = '[axes]\nbackbone = ["saf", "sgr"]\n[axes.method.a]\nmethod = "infonce"\nschedule.epochs = 1\n'
    with pytest.raises(HarnessError, match=r"^--set backbone.name: .* by --only: saf, sgr$"):
        load_grid(write_grid(tmp_path, backbones), settings={"backbone": "saf"})
    assert load_grid(write_grid(tmp_path, backbones), settings={"backbone.embed_dim": 4}).cells


def test_the_cells_that_are_not_asked_for_are_not_looked_at(tmp_path: Path) -> None:
    path = write_grid(tmp_path, VARY.replace("[0.0, 0.8, 1.0]", "[0.0, 0.8]"))
    chosen = load_grid(path, only={"value": ["0.0"], "seed": ["1"]}).cells
    assert [cell.name for cell in chosen] == ["seed=1 beta=0.0"]
    with pytest.raises(HarnessError, match="no cell of toy fits"):
        load_grid(path, only={"value": ["0.8"]})  # the run's own value, whose cell is the base
    with pytest.raises(HarnessError, match="did you mean 'seed'"):
        load_grid(path, only={"sed": ["1"]})


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("[axes]\nseed = []", "axes.seed = []: accepted: 1 or more values"),
        ("[axes.method]", "axes.method = {}: "),
        ("[axes]\nmethod = [['infonce'], ['rcl']]", "method = ['infonce']: accepted: a name, or a table { name ="),
        ("[axes]\nmethod = ['infonce']\nbackbone = [3]", "backbone = 3: accepted: a name, or a table { name ="),
        ("[axes]\nmethod = ['infonce']\n'schedule.lr' = [inf]", "schedule.lr = inf: accepted: a finite number"),
        ("[axes]\nmethod = ['infonce']\n'method.tau' = [inf]", "method.tau = inf: accepted: a finite number"),
        (
            "[axes]\nseed = [" + "1," * 1000 + "]\n'noise.rate' = [" + "0.1," * 1000 + "]",
            "the axes give 1,000,000 cells (seed: 1000 x noise.rate: 1000); accepted: up to 100,000",
        ),
        ("x = " + "[" * 5000 + "]" * 5000, "nests too many brackets"),
    ],
)
def test_hostile_values_are_one_line(tmp_path: Path, more: str, says: str) -> None:
    with pytest.raises(HarnessError, match=re.escape(says)) as said:
        load_grid(write_grid(tmp_path, more))
    assert "\n" not in str(said.value)


def test_a_byte_order_mark_is_not_in_the_way(tmp_path: Path) -> None:
    path = write_grid(tmp_path, AXES)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(load_grid(path).cells) == 8


def test_a_protocol_that_cannot_be_scored_is_told_before_the_first_step(tmp_path: Path, toy_data: Path) -> None:
    grid = load_grid(write_grid(tmp_path, AXES + "[axes.e]\na = { evaluation = { protocols = ['1k'] } }\n"))
    for refuse in (prepare_data, refuse_unscorable):  # of `run` and of `check`
        with pytest.raises(HarnessError, match="needs 1000 images, the split has 50"):
            refuse(grid.cells, toy_data)

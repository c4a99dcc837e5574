"""`harness train`: one run from the command line, kept as any cell is; and `--set` on the verbs that take a grid."""

from pathlib import Path

import pytest
from toy import CRCL, harness, write_grid

from harness.cli.options import settings as option
from harness.errors import HarnessError
from harness.grids import load_grid, single_run
from harness.ledger import Ledger

RUN = (
    "train", "--dataset", "toy", "--method", "crcl", "--set", "method.pieces=[1, 1]", "--set", "method.freeze_epochs=0",
    "--set", "noise.rate=0.4", "--set", "backbone.embed_dim=16", "--set", "backbone.word_dim=8", "--seed", "3",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("mirrored")
def test_a_run_needs_no_file(workplace: Path) -> None:
    import mlflow

    ran = harness(*RUN, cwd=workplace)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "noise caption_level at rate 0.4, backbone vse_infinity; " in ran.stdout
    assert "train: 1 of 1 cell done, 0 failed" in ran.stdout
    [cell] = Ledger(workplace / "runs").cells()
    assert cell.spec["grid"] == "train"
    assert cell.spec["labels"] == {
        "dataset": "toy", "method": "crcl", "backbone": "vse_infinity", "noise": "caption_level", "seed": 3,
        "method.pieces": "1-1", "method.freeze_epochs": 0, "noise.rate": 0.4, "backbone.embed_dim": 16,
        "backbone.word_dim": 8,
    }  # fmt: skip
    written = cell.path("result.json").read_bytes()
    assert harness(*RUN, cwd=workplace).returncode == 0
    assert cell.path("result.json").read_bytes() == written
    client = mlflow.MlflowClient(f"sqlite:///{workplace / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("train")
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["method.pieces"] == "[1, 1]"


def test_a_dry_run_prints_a_grid_of_that_run(workplace: Path) -> None:
    shown = harness(*RUN, "--dry-run", cwd=workplace).stdout
    (workplace / "shown.toml").write_text(shown)
    [cell] = load_grid(workplace / "shown.toml").cells
    assert shown.startswith(f"# {cell.fingerprint}  toy crcl vse_infinity caption_level method.pieces=1-1 ")
    assert "\npieces = [1, 1]\n" in shown
    assert not (workplace / "runs").exists()


def test_it_is_the_cell_of_a_grid_with_the_same_settings(tmp_path: Path) -> None:
    [cell] = load_grid(write_grid(tmp_path, 'method = "infonce"\n'), settings={"schedule.epochs": 2}).cells
    keys = {"embed_dim": 16, "word_dim": 8}
    settings = {
        "method": "infonce", "dataset": "toy", "backbone": {"name": "vse_infinity", **keys}, "schedule.batch_size": 32,
        "schedule.lr": 2e-3, "schedule.epochs": 2, "augmentation": {"token_rate": 0.2, "region_rate": 0.2},
    }  # fmt: skip
    [single] = single_run(settings).cells
    assert single.fingerprint == cell.fingerprint


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "crcl"}, "dataset: is missing; name one with --dataset: flickr30k, "),
        ({"dataset": "toy"}, "method: is missing; name one with --method: crcl, "),
        ({"dataset": "toy", "method": "crlc"}, "method.name = 'crlc': unknown method; did you mean 'crcl'?"),
        ({"dataset": "toy", "method": "crcl", "metod.beta": 1}, "metod: unknown key; did you mean 'method'?"),
        (
            {"dataset": "toy", "method": "crcl", "method.betaa": 1},
            "method.betaa = 1: unknown key; did you mean",
        ),
        ({"dataset": "toy", "method": "crcl", "method.beta": "x"}, "method.beta = 'x': accepted: a number"),
        ({"dataset": "toy", "method": "crcl", "schedule": 3}, "schedule = 3: accepted: a table of"),
        ({"dataset": "toy", "method": "infonce"}, "schedule.epochs is missing"),
    ],
)
def test_a_wrong_setting_is_one_line(settings: dict[str, object], message: str) -> None:
    with pytest.raises(HarnessError) as caught:
        single_run(settings)
    assert str(caught.value).startswith(f"harness train: {message}")
    assert "\n" not in str(caught.value)


def test_a_name_comes_before_its_keywords_however_they_are_given() -> None:
    settings = {"method.beta": 0.9, "noise.rate": 0.4, "noise": "image_level", "dataset": "toy", "method": "crcl"}
    [cell] = single_run(settings).cells
    assert cell.run.method.parameters["beta"] == 0.9
    assert (cell.run.noise.name, cell.run.noise.parameters["rate"]) == ("image_level", 0.4)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.9", 0.9), ("3", 3), ("true", True), ("[2, 2]", [2, 2]), ("{ name = 'crcl' }", {"name": "crcl"}),
        ("'3'", "3"), ("crcl", "crcl"), ("mine.parts:Mine", "mine.parts:Mine"), ("none", None), ("a=b", "a=b"),
        ("2026-01-01", "2026-01-01"), ("1\nother = 2", "1\nother = 2"), ("", ""),
    ],
)  # fmt: skip
def test_a_value_is_toml_or_text(text: str, value: object) -> None:
    import click

    command = click.Command("verb", params=[], callback=lambda settings: settings)
    option(command)
    assert command.main([f"--set=key={text}"], standalone_mode=False) == {"key": value}


@pytest.mark.slow
def test_set_names_the_same_cells_on_every_verb(workplace: Path) -> None:
    write_grid(workplace, CRCL)
    changes = ("--set", "method.beta=0.5", "--only", "method=crcl")
    [cell] = load_grid(workplace / "toy.toml", settings={"method.beta": 0.5}).cells
    [plain] = load_grid(workplace / "toy.toml").cells
    assert cell.fingerprint != plain.fingerprint
    line = "noise.rate=0.4 crcl method.beta=0.5"
    for verb, *more in (["run", "--dry-run"], ["check"], ["status"]):
        shown = harness(verb, "toy.toml", *more, *changes, cwd=workplace)
        assert shown.returncode == 0, shown.stderr
        assert cell.fingerprint in shown.stdout
        assert line in shown.stdout
        assert plain.fingerprint not in shown.stdout
    assert harness("run", "toy.toml", "--set", "beta", cwd=workplace).returncode == 2

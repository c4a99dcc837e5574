"""`harness data`: what the options do, what is refused, what is printed."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner, Result
from pictures import source
from vision import write_vit

from harness.cli.data import command
from harness.data import check
from harness.errors import HarnessError


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def refused(*arguments: object) -> str:
    result = invoke(*arguments)
    assert isinstance(result.exception, HarnessError), result.output
    message = str(result.exception)
    assert "\n" not in message
    return message


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the dataset `mine`, made by the command."""
    folder = tmp_path_factory.mktemp("cli")
    pictures, captions = source(folder, {"train": 6, "dev": 2}, captions=3)
    vit = write_vit(folder / "vit")
    result = invoke(
        *("build", "--images", pictures, "--captions", captions, "--out", folder / "data" / "mine"),
        *("--encoder", vit, "--regions", 4, "--dtype", "float16", "--captions-per-image", 2),
        *("--batch-size", 3, "--device", "cpu"),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "6 train, 2 dev images, 2 captions each, 4 regions of 16, float16" in result.output
    assert "dev doubles as test" in result.output
    return folder / "data"


def test_build_takes_its_options(built: Path) -> None:
    features = np.load(built / "mine" / "train_ims.npy")
    assert (features.shape, features.dtype) == ((6, 4, 16), np.float16)
    assert len((built / "mine" / "train_caps.txt").read_text().splitlines()) == 12


def test_build_without_sources_says_what_is_missing() -> None:
    assert "--images, --captions, --out missing" in refused("build")
    assert "data build: --out missing" in refused("build", "--images", "x", "--captions", "y")
    assert "harness data build twemoji" in refused("build")


def test_the_benchmark_takes_no_sources(tmp_path: Path) -> None:
    message = refused("build", "twemoji", "--images", tmp_path, "--data", tmp_path)
    assert "does not take --images" in message
    assert str(tmp_path) in message
    assert "unknown; accepted: twemoji" in refused("build", "tweemoji")


def test_the_benchmark_goes_into_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    monkeypatch.setattr("harness.data.build.build_twemoji", lambda *a, **k: called.append((a, k)))
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    assert invoke("build", "twemoji", "--regions", 9).exit_code == 0
    (root, recipe), options = called[0]
    assert (root, recipe.regions, recipe.dtype, recipe.device) == (tmp_path, 9, "float16", "cpu")
    assert options["overwrite"] is False


def test_bad_input_reaches_the_user_as_one_line(tmp_path: Path) -> None:
    pictures, captions = source(tmp_path, {"train": 2, "dev": 1})
    mine = ("--images", pictures, "--captions", captions, "--out", tmp_path / "mine")
    assert "unknown encoder 'vgg'" in refused("build", *mine, "--encoder", "vgg")
    assert "--regions 5" in refused("build", *mine, "--regions", 5)
    (pictures / "1.png").unlink()
    assert "first '1.png'" in refused("build", *mine)
    assert not (tmp_path / "mine").exists()


def test_check_passes_a_fresh_build(built: Path) -> None:
    result = invoke("check", "mine", "--data", built)
    assert result.exit_code == 0, result.output
    assert "mine: no errors in" in result.output
    assert "6 images, 12 captions" in result.output


def test_check_exits_with_one_on_an_error(built: Path, tmp_path: Path) -> None:
    copy = tmp_path / "mine"
    copy.mkdir()
    for file in (built / "mine").iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    features = np.load(copy / "train_ims.npy")
    features[3, 1, 5] = np.nan
    np.save(copy / "train_ims.npy", features)
    result = invoke("check", "mine", "--data", tmp_path)
    assert result.exit_code == 1
    assert "1 error in" in result.output


def test_check_hands_on_the_noise_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def findings(*arguments: object, **_: object) -> list[SimpleNamespace]:
        seen.append(arguments)
        return [SimpleNamespace(name="noise", level="warning", text="a [red]bracketed[/red] text")]

    monkeypatch.setattr(check, "check_dataset", findings)
    result = invoke("check", "f30k", "--noise-file", tmp_path / "n.npy", "--data", tmp_path)
    assert seen == [("f30k", tmp_path, tmp_path / "n.npy")]
    assert (result.exit_code, "[red]bracketed[/red]" in result.output) == (0, True)


def test_import_checkpoint_prints_the_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.backbones import official

    monkeypatch.setattr(
        official, "import_checkpoint", lambda path, out: {"from": path.name, "to": out.name}, raising=False
    )
    result = invoke("import-checkpoint", tmp_path / "model_best.pth.tar", "--out", tmp_path / "m.safetensors")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == ["from: model_best.pth.tar", "to: m.safetensors"]

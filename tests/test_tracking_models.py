"""A finished run's networks are a model of MLflow's: it scores pairs as they do, and needs no folder of a run."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from small_networks import WORDS, D, batch, model
from tracking_toys import finish, make_cell, result, row

from harness.backbones import Backbone
from harness.backbones.weights import save_networks
from harness.cli.sync import command as sync
from harness.data.vocabulary import Vocabulary, write_reading
from harness.errors import HarnessError
from harness.ledger import Cell
from harness.reporting.shown import EXTRAS
from harness.tracking import Store, forget, mirror_cell, open_store
from harness.tracking.mlflow_runs import BEGUN
from harness.tracking.mlflow_views import TAG
from harness.tracking.scorer import Scorer
from harness.tracking.store import local_path

SPELLED = ["<pad>", "<start>", "<end>", "<unk>", *(f"w{number}" for number in range(4, WORDS - 1))]


@pytest.fixture
def store(runs: Path) -> Store:
    return open_store(None, runs)


def trained(runs: Path, networks: list[Backbone], *, vocabulary: bool = True, **more: Any) -> Cell:
    cell = make_cell(runs, **more)
    cell.append_row({**row(0), "system": {"process_cpu_percentage": 99.5}})
    save_networks(cell.path("model.safetensors"), networks)
    if vocabulary:
        write_reading(cell.path("vocabulary.json"), Vocabulary(SPELLED), "words")
    finish(cell, result())
    return cell


def run_of(store: Store, cell: Cell) -> Any:
    run = store.find_run("toy", cell.fingerprint)
    assert run is not None
    return run


def pairs() -> tuple[list[torch.Tensor], dict[str, np.ndarray]]:
    """A batch as a network takes it, and as the model does."""
    regions, counts, tokens, lengths = batch(5, 5)
    lengths = lengths.clamp(max=6)
    tokens = tokens.clamp(max=WORDS - 2) * (torch.arange(7) < lengths[:, None])
    return [regions.float(), counts, tokens, lengths], {"regions": regions.float().numpy(), "tokens": tokens.numpy()}


def loaded(store: Store, run: Any) -> Any:
    import mlflow

    mlflow.set_tracking_uri(store.uri)
    return mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")


def test_the_model_scores_as_the_networks_do_without_the_run(store: Store, runs: Path) -> None:
    networks = [model(name).float().eval() for name in ("vse_infinity", "saf")]
    cell = trained(runs, networks, vocabulary=False)
    mirror_cell(store, cell)
    shutil.rmtree(cell.folder)
    scorer = loaded(store, run_of(store, cell))
    tensors, given = pairs()
    with torch.no_grad():
        alone = [net.pairwise(net.encode_images(*tensors[:2]), net.encode_texts(*tensors[2:])) for net in networks]
    found = scorer.predict(given)
    np.testing.assert_allclose(found, torch.stack(alone).mean(dim=0).numpy(), rtol=1e-5, atol=1e-6)
    signature = scorer.metadata.signature
    assert [(each.name, each.shape) for each in signature.inputs] == [("regions", (-1, -1, D)), ("tokens", (-1, -1))]
    assert signature.outputs.inputs[0].type == np.float32


def test_the_model_reads_captions(store: Store, runs: Path) -> None:
    network = model("vse_infinity").float().eval()
    cell = trained(runs, [network])
    mirror_cell(store, cell)
    scorer = loaded(store, run_of(store, cell))
    regions = pairs()[1]["regions"][:2]
    words = Vocabulary(SPELLED)
    numbers = [words.ids(["w7", "w5"]), words.ids(["nobody", "w9", "w4"])]
    tokens = np.array([[*ids, *[0] * (5 - len(ids))] for ids in numbers])
    found = scorer.predict({"regions": regions, "captions": np.array(["W7 w5", "nobody w9 w4"])})
    np.testing.assert_array_equal(found, Scorer(cell.folder).predict({"regions": regions, "tokens": tokens}))
    assert found.std() > 0
    assert [each.name for each in scorer.metadata.signature.inputs] == ["regions", "captions"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"regions": np.zeros((1, 2, D))}, "has regions; accepted"),
        ({"regions": np.zeros((2, 2, D)), "captions": ["w4"]}, "as many images as captions"),
        ({"regions": np.zeros((1, 2, 3)), "captions": ["w4"]}, f"with D = {D}"),
        ({"regions": np.zeros((1, 2, D)), "tokens": [[1, WORDS, 2]]}, f"accepted: 0 to {WORDS - 1}"),
    ],
)
def test_input_that_does_not_fit_is_one_line(runs: Path, given: dict[str, Any], says: str) -> None:
    cell = trained(runs, [model("vse_infinity").float()])
    with pytest.raises(HarnessError, match=says):
        Scorer(cell.folder).predict(given)


def test_a_model_takes_no_room_twice_and_is_made_once(store: Store, runs: Path) -> None:
    cell = trained(runs, [model("vse_infinity").float()])
    mirror_cell(store, cell)
    (weights,) = (runs.parent / "mlartifacts").rglob("model.safetensors")
    assert weights.stat().st_ino == cell.path("model.safetensors").stat().st_ino
    store.client.set_tag(run_of(store, cell).info.run_id, "mirrored", BEGUN)  # as if killed before the mark
    mirror_cell(store, cell)
    experiment = run_of(store, cell).info.experiment_id
    (made,) = store.client.search_logged_models([experiment])
    assert str(made.status) == "READY"
    forget(store, cell)
    assert store.client.search_logged_models([experiment]) == []
    assert not list((runs.parent / "mlartifacts").rglob("model.safetensors"))


def test_a_model_that_was_cut_short_is_made_again(store: Store, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = trained(runs, [model("vse_infinity").float()])
    with monkeypatch.context() as broken:
        broken.setattr(type(store.client), "finalize_logged_model", _raise)
        with pytest.raises(HarnessError, match="harness sync"):
            mirror_cell(store, cell)
    mirror_cell(store, cell)
    (made,) = store.client.search_logged_models([run_of(store, cell).info.experiment_id])
    assert str(made.status) == "READY"
    assert len(list((runs.parent / "mlartifacts").rglob("model.safetensors"))) == 1


def _raise(*_: Any, **__: Any) -> None:
    raise OSError("the disk is gone")


def test_a_store_that_was_copied_reads_its_own_files(store: Store, runs: Path, tmp_path: Path) -> None:
    cell = trained(runs, [model("vse_infinity").float()])
    mirror_cell(store, cell)
    moved = tmp_path / "else where"
    moved.mkdir()
    for path in runs.parent.glob("mlflow.db*"):  # with the log of what is not yet in the file itself
        shutil.copy(path, moved / path.name)
    shutil.move(runs.parent / "mlartifacts", moved)
    there = open_store(None, moved / "runs")
    run = run_of(there, cell)
    assert {f.path for f in there.client.list_artifacts(run.info.run_id)} == {"spec.json", "result.json", "labels.npy"}
    files = local_path(run.info.artifact_uri)
    assert files is not None
    assert moved in files.parents
    given = {"regions": pairs()[1]["regions"], "captions": np.array(["w4"] * 5)}
    assert len(loaded(there, run).predict(given)) == 5


def test_the_first_look_has_the_figures_and_settings(store: Store, runs: Path) -> None:
    cell = trained(runs, [model("vse_infinity").float()])
    mirror_cell(store, cell, extras=EXTRAS)
    run = run_of(store, cell)
    view = json.loads(json.loads(store.client.get_experiment(run.info.experiment_id).tags[TAG])["state"])
    assert view["selectedColumns"][:2] == ["metrics.`test/rsum`", "metrics.`dev/rsum_selected`"]
    assert "tags.`axis.noise.rate`" in view["selectedColumns"]
    assert [chart["metricKey"] for chart in view["compareRunCharts"]][:2] == ["test/rsum", "dev/rsum"]
    note = run.data.tags["mlflow.note.content"]
    assert "| test full" in note
    assert "harness run toy" in note
    assert "not judged" in note or "not found" in note
    assert run.data.metrics["system/process_cpu_percentage"] == 99.5
    assert [each.name for each in store.client.search_experiments()] == ["toy"]  # no "Default"


def test_sync_makes_all_of_it_again(store: Store, runs: Path) -> None:
    cell = trained(runs, [model("vse_infinity").float()])
    mirror_cell(store, cell)
    first = run_of(store, cell).info.run_id
    done = CliRunner().invoke(sync, ["--runs", str(runs), "--rebuild"], catch_exceptions=False)
    assert "1 cell rebuilt" in done.output
    again = open_store(None, runs)
    assert run_of(again, cell).info.run_id != first
    assert len(again.client.search_logged_models([run_of(again, cell).info.experiment_id])) == 1

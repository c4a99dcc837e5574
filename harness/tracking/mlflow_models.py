"""A run's networks as a logged model, loaded by `mlflow.pyfunc.load_model("runs:/RUN_ID/model")` without the ledger.

Where the store lies on the ledger's disk the model's files are hard links: no byte is there twice, and the model
outlives the cell's folder, whose files are replaced and never written into. Elsewhere they are copied.
"""

import json
import shutil
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np

from harness import __version__
from harness.backbones.weights import describe_network
from harness.extras import DISTRIBUTION
from harness.files import link_or_copy
from harness.ledger import Cell
from harness.spec import find
from harness.tracking.store import Store, local_path, mlflow

NAME = "model"
LOADER = "harness.tracking.scorer"


def log_model(store: Store, run: Any, cell: Cell) -> None:
    """Log a finished cell's networks; nothing where it has none of its own, or they read pictures.

    A model that was cut short is deleted and made again.
    """
    network = cell.file("model.safetensors")
    if network is None:
        return
    described = describe_network(network)
    if find("backbone", described["name"]).reads_pixels:
        return
    if any(str(model.status) == "READY" for model in drop_models(store, run, keep_ready=True)):
        return
    made = store.client.create_logged_model(
        run.info.experiment_id, name=NAME, source_run_id=run.info.run_id, model_type=described["name"],
        tags={"fingerprint": cell.fingerprint},
    )  # fmt: skip
    place = local_path(made.artifact_location) if store.artifacts is not None else None
    if place is not None:
        _write(place, run, made.model_id, cell, network, described)
    else:
        with TemporaryDirectory() as folder:
            _write(Path(folder), run, made.model_id, cell, network, described)
            store.client.log_model_artifacts(made.model_id, folder)
    store.client.log_outputs(run.info.run_id, [mlflow().LoggedModelOutput(made.model_id, 0)])
    store.client.finalize_logged_model(made.model_id, "READY")


def drop_models(store: Store, run: Any, *, keep_ready: bool = False) -> list[Any]:
    """Delete a run's models with their files; gives those that are kept, the READY ones if that is asked for."""
    found = store.client.search_logged_models(
        [run.info.experiment_id], filter_string=f"source_run_id = '{run.info.run_id}'"
    )
    kept = [model for model in found if keep_ready and str(model.status) == "READY"]
    for model in found:
        if model not in kept:
            store.client.delete_logged_model(model.model_id)
            place = local_path(model.artifact_location)
            if store.artifacts is not None and place is not None and store.artifacts in place.parents:
                shutil.rmtree(place.parent, ignore_errors=True)
    return kept


def _write(folder: Path, run: Any, model_id: str, cell: Cell, network: Path, described: dict[str, Any]) -> None:
    """MLmodel, what it needs of Python, and the files that `Scorer` reads."""
    m = _flavour()
    files = folder / "data"
    files.mkdir(parents=True, exist_ok=True)
    vocabulary = cell.path("vocabulary.json")
    for path in [*sorted(network.parent.glob(f"{network.stem}*{network.suffix}")), vocabulary]:
        with suppress(FileNotFoundError):  # a run of an earlier version has no vocabulary
            link_or_copy(path, files / path.name)
    model = m.Model(
        artifact_path=NAME, run_id=run.info.run_id, model_id=model_id,
        signature=_signature(described["region_dim"], captions=vocabulary.exists()),
        metadata={"fingerprint": cell.fingerprint, "backbone": json.dumps(described)},
    )  # fmt: skip
    m.add_to_model(model, loader_module=LOADER, data="data", python_env="python_env.yaml")
    (folder / "requirements.txt").write_text(f"mlflow\n{DISTRIBUTION}=={__version__}\n")
    (folder / "python_env.yaml").write_text("dependencies:\n- -r requirements.txt\n")
    model.save(str(folder / "MLmodel"))


@cache
def _flavour() -> SimpleNamespace:
    """What is used of mlflow's models, imported when the first one is logged."""
    from mlflow.models import Model, ModelSignature
    from mlflow.pyfunc import add_to_model
    from mlflow.types import Schema, TensorSpec

    return SimpleNamespace(
        Model=Model, ModelSignature=ModelSignature, add_to_model=add_to_model, Schema=Schema, TensorSpec=TensorSpec
    )


def _signature(region_dim: int, *, captions: bool) -> Any:
    """Pairs of raw features and captions, or word numbers where there is no vocabulary; their similarities."""
    m = _flavour()
    regions = m.TensorSpec(np.dtype(np.float32), (-1, -1, region_dim), "regions")
    texts = (
        m.TensorSpec(np.dtype(str), (-1,), "captions") if captions
        else m.TensorSpec(np.dtype(np.int64), (-1, -1), "tokens")
    )  # fmt: skip
    return m.ModelSignature(m.Schema([regions, texts]), m.Schema([m.TensorSpec(np.dtype(np.float32), (-1,))]))

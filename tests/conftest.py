"""Fixtures that several test files share."""

import os
import shutil
from pathlib import Path

import pytest
import torch  # noqa: F401 (first: what is kept between commands is left alone by a process that has it already)
from synthetic import write_dataset

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ["HARNESS_MIRROR"] = "none"  # MLflow costs a launcher 4 s, as much as all else in a test; see `mirrored`


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with golden values and real captions, where a developer has one; skips elsewhere."""
    folder = Path(os.environ.get("HARNESS_SHARED") or Path(__file__).parents[2] / "shared")
    if not folder.is_dir():
        pytest.skip(f"no development data in {folder} (HARNESS_SHARED)")
    return folder


@pytest.fixture(scope="session")
def toy_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one small learnable dataset, `toy`."""
    root = tmp_path_factory.mktemp("data")
    write_dataset(root / "toy")
    return root


@pytest.fixture
def workplace(tmp_path: Path, toy_data: Path) -> Path:
    """A folder to run the command line in, with `toy` among its data."""
    (tmp_path / "data").symlink_to(toy_data)
    return tmp_path


@pytest.fixture
def mirrored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Launchers show their runs in MLflow, beside the runs, as they do for a user."""
    for name in ("HARNESS_MIRROR", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its tables made, to be copied: making them takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    from harness.tracking import open_store

    open_store(None, folder / "runs")
    return folder / "mlflow.db"


@pytest.fixture
def runs(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(migrated, tmp_path / "mlflow.db")
    return tmp_path / "runs"

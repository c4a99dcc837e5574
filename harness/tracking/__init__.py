"""The mirrors of the ledger: MLflow, and beside it TensorBoard and Weights & Biases; the only import of them.

The cell folders are the truth; what lies here can be thrown away and built again from them (`harness sync --rebuild`).
Workers that train never come here: the launcher mirrors their rows while they train, so logging costs training nothing,
a tracking server that is down stops no run, one process writes, and a resumed run goes on without a point logged twice.
"""

from harness.tracking.mirror import Mirror
from harness.tracking.mlflow_runs import forget, mirror_cell
from harness.tracking.store import Store, open_store, sqlite_file, store_uri
from harness.tracking.target import Extras, Target
from harness.tracking.targets import TARGETS, opener

__all__ = [
    "TARGETS", "Extras", "Mirror", "Store", "Target", "forget", "mirror_cell", "open_store", "opener", "sqlite_file",
    "store_uri",
]  # fmt: skip

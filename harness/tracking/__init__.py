"""The mirror of the ledger in MLflow, and the only import of it.

The cell folders are the truth; what lies here can be thrown away and built again from them (`harness sync --rebuild`).
Workers that train never come here: the launcher mirrors their rows while they train, so logging costs training nothing,
a tracking server that is down stops no run, one process writes, and a resumed run goes on without a point logged twice.
"""

from harness.tracking.mirror import Mirror, forget, mirror_cell
from harness.tracking.store import Store, open_store, sqlite_file, store_uri

__all__ = ["Mirror", "Store", "forget", "mirror_cell", "open_store", "sqlite_file", "store_uri"]

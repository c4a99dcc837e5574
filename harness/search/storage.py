"""Where a study lies: a journal in the sweep's folder, or any database that Optuna takes."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from filelock import FileLock

from harness.errors import HarnessError
from harness.uris import hide, shown


@cache
def optuna() -> ModuleType:
    """Optuna, imported when first needed (0.8 s) and silent: the launcher says what there is to say."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # Of PatientPruner and GPSampler: their interface may change, which constraints.txt guards against.
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


def open_storage(url: str | None, folder: Path) -> Any:
    """The storage; the caller holds the sweep's lock, because two that make a database's tables at once break them.

    Args:
        url: of a database, as SQLAlchemy writes it; None for `journal.log` in `folder`.
        folder: the sweep's.

    Raises:
        HarnessError: the database does not answer, or its driver is not installed.
    """
    o = optuna()
    if url is None:
        journal = folder / "journal.log"
        _drop_a_torn_line(journal)
        backend = o.storages.journal.JournalFileBackend(str(journal), lock_obj=_Lock(folder / ".journal.lock"))
        try:
            return o.storages.JournalStorage(backend)
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
            raise HarnessError(
                f"{journal}: is damaged ({type(error).__name__}: {error}); move {folder} elsewhere and start the sweep "
                "again: its trials' runs are kept and are not trained twice"
            ) from None
    with explain_failures(url):
        # Writers of SQLite wait for each other; its default of 5 s is less than a slow disk needs.
        options = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
        return o.storages.RDBStorage(url, engine_kwargs=options)


class _Lock:
    """The journal's lock, which the system lets go of when its holder dies. Optuna's own is a file that would stay,
    and everybody would wait for ever."""

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path)

    def acquire(self) -> bool:
        self._lock.acquire()
        return True

    def release(self) -> None:
        self._lock.release()


@contextmanager
def explain_failures(url: str | None) -> Iterator[None]:
    """Turns what goes wrong in a storage into one line, without the password that a URL may hold."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, ImportError, optuna().exceptions.StorageInternalError) as error:
        reason = " ".join(str(error.__cause__ or error).split())[:300]
        raise HarnessError(
            f"--storage {shown(str(url))}: {hide(reason, url)}; accepted: a URL as SQLAlchemy writes it, such as "
            "sqlite:///sweeps.db or postgresql://USER@HOST/DATABASE, its driver installed; without --storage the study "
            "is a file"
        ) from None


def _drop_a_torn_line(journal: Path) -> None:
    """The end of a line that a power cut left: Optuna would read no further once another line is written behind it."""
    if not journal.exists() or journal.stat().st_size == 0:
        return
    with open(journal, "r+b") as file:
        content = file.read()
        if not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)
            os.fsync(file.fileno())

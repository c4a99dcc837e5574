"""Files that are written wholly or not at all, and one clear line when the disk is full."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from harness.errors import HarnessError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # how systems say that a disk is full


def write_atomic(path: Path, content: bytes | Callable[[BinaryIO], None]) -> None:
    """Write a file so that a crash at any moment leaves the old one or the new one, never a part.

    Args:
        path: where it ends up; its folder exists.
        content: the bytes, or a function that writes them to an open binary file.

    Raises:
        HarnessError: the disk is full; the old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in FULL:
            raise disk_full(path) from error
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def link_or_copy(source: Path, target: Path) -> None:
    """A second name for a file in place of `target`; a copy where the disk has no such thing."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def remove_leftovers(folder: Path, name: str = "*") -> None:
    """Delete what writers that were killed have left of `name` in a folder, where nobody else writes it now."""
    for path in folder.glob(f".{name}.*.tmp"):
        if not path.name.endswith(f".{os.getpid()}.tmp"):
            path.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, inside: Path | None = None) -> Iterator[Path]:
    """A new folder to write into, which is called `path` when the block ends, and never before: a kill leaves nothing
    under that name. What is left of killed writers goes with the next one.

    Args:
        path: what the folder is to be called; nothing is there, or an empty folder.
        inside: where it is written until then, on the same disk; beside `path` where left out.

    Raises:
        HarnessError: something is there, now or at the end of the block; or the disk is full.
    """
    beside = path.absolute().parent if inside is None else inside
    beside.mkdir(parents=True, exist_ok=True)
    for left in beside.glob(f".{path.name}.*.tmp"):
        if left.is_dir() and not _alive(left.name.split(".")[-2]):
            shutil.rmtree(left, ignore_errors=True)
    _refuse_full(path)
    temporary = beside / f".{path.name}.{os.getpid()}.tmp"
    temporary.mkdir()
    try:
        yield temporary
        try:
            os.rename(temporary, path)
        except OSError:
            _refuse_full(path)
            raise
    except OSError as error:
        raise explain_write_error(error, path.absolute()) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _refuse_full(path: Path) -> None:
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise HarnessError(f"{path}: is there already, and nothing is written over it; accepted: a new folder")


def _alive(pid: str) -> bool:
    """Whether a process of this number runs here; that it is the one that is meant is not said."""
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    return True


def write_array(path: Path, values: Any) -> None:
    """A numpy array as a .npy file, atomically."""
    import numpy as np

    write_atomic(path, lambda file: np.save(file, values))


def open_array(path: Path) -> Any:
    """The array of a .npy file as a read-only memory map. Nothing is unpickled, and no memory is taken for what the
    header promises: a file that is shorter than that is refused.

    Raises:
        FileNotFoundError: there is no such file.
        HarnessError: it is not a whole .npy file, or holds objects.
    """
    import numpy as np

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise
    except Exception as error:  # a header is read as Python; what one that lies makes numpy raise has no end
        if "Python objects" in str(error):
            raise HarnessError(
                f"{path}: an array of objects, as numpy makes it of rows that differ in shape (regions that differ "
                "between images); accepted: one array of numbers; pad or pool the rows to one number of regions"
            ) from None
        raise HarnessError(f"{path}: not a whole .npy file ({_brief(error)}); copy the file again") from None
    if not isinstance(array, np.ndarray):
        raise HarnessError(f"{path}: an .npz archive; accepted: one array as numpy.save writes it")
    return array


def _brief(error: BaseException) -> str:
    """The first line of an error, cut to what a person reads."""
    text = (str(error) or type(error).__name__).splitlines()[0]
    return text if len(text) <= 120 else text[:117] + "..."


def write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """An .npz file of named numpy arrays, compressed, atomically."""
    import numpy as np

    write_atomic(path, lambda file: np.savez_compressed(file, **arrays))


def explain_write_error(error: OSError, path: Path) -> Exception:
    """What to raise for an error of writing `path`: one clear line if the disk is full, else the error itself."""
    return disk_full(path) if error.errno in FULL else error


def disk_full(path: Path) -> HarnessError:
    """The error for a full disk: one line, which says that nothing is lost."""
    free = shutil.disk_usage(path.parent).free // 2**20
    return HarnessError(
        f"{path}: no space left on the disk ({free} MiB free); the old file is untouched; "
        "make room and run the same command again to continue"
    )


def write_json(path: Path, value: Any) -> None:
    """Atomic, indented, with a final newline; NaN is written as null, because JSON has none."""
    write_atomic(path, (json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_whole(path: str | Path) -> bytes:
    """The bytes of a file.

    Raises:
        HarnessError: it is there and may not be read. It is not taken for a damaged one, which may be written anew.
        FileNotFoundError, IsADirectoryError, NotADirectoryError: there is no such file.
    """
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise
    except OSError as error:
        raise HarnessError(
            f"{path}: cannot be read ({error.strerror}); accepted: a file that this user may read; put its permissions "
            "or the disk right and start again: nothing was changed"
        ) from None


def read_json(path: Path) -> Any:
    """The value, or None where there is no such file."""
    try:
        return json.loads(read_whole(path).decode("utf-8"))
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise
    except (ValueError, RecursionError, IsADirectoryError) as error:
        raise HarnessError(f"{path}: is not readable JSON ({error}); delete it to start that part again") from None


def file_sha256(path: str | Path) -> str:
    """Hex digest of a file's bytes; empty where there is no file.

    Raises:
        HarnessError: it is there and may not be read.
    """
    try:
        return hashlib.sha256(read_whole(path)).hexdigest()
    except OSError:
        return ""


def refuse_other_file(path: str | Path, sha256: str, *, what: str, key: str = "") -> None:
    """HarnessError where a file does not have the digest it was named with. what, key: how the message calls the file
    and the digest; an empty digest names none."""
    found = file_sha256(path)
    if sha256 and found != sha256:
        raise HarnessError(
            f"{what}: its sha256 is {found}; accepted: {key}{sha256}; take the file that was meant, or correct the "
            "digest"
        )


def json_line(value: Any) -> str:
    """One line of a .jsonl file, NaN as null."""
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """What JSON gives back of a value: tuples as lists, NaN as None."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and value != value:
        return None
    return value

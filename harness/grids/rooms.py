"""The rooms of declarations, `experiments/`, `sweeps/`, `reports/`: in the checkout or inside the installed package."""

import tomllib
from pathlib import Path
from typing import Any, Literal

from harness.errors import HarnessError, suggest

Room = Literal["experiments", "sweeps", "reports"]

_PACKAGE = Path(__file__).parent.parent


def folders(room: Room) -> list[Path]:
    """Where a room's files lie, nearest first: here, the checkout, the installed package."""
    candidates = (Path(room), _PACKAGE.parent / room, _PACKAGE / "rooms" / room)
    return [folder for folder in candidates if folder.is_dir()]


def declarations(room: Room) -> dict[str, Path]:
    """Every declaration of a room by its name, the file's stem."""
    found: dict[str, Path] = {}
    for folder in folders(room):
        for path in sorted(folder.glob("*.toml")):
            found.setdefault(path.stem, path)
    return found


def find(word: str, room: Room) -> Path:
    """A declaration by path or by name.

    Raises:
        HarnessError: there is none; says which there are.
    """
    path = Path(word)
    if path.suffix == ".toml" and path.is_file():
        return path
    known = declarations(room)
    if path.stem in known and path.parent in (Path("."), Path(room)):
        return known[path.stem]
    raise HarnessError(f"{word}: there is no such file in {room}/; {suggest(path.stem, known)}")


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as nested tables."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HarnessError(f"{path}: is not TOML: {error}") from None
    except OSError as error:
        raise HarnessError(f"{path}: cannot be read: {error.strerror}") from None

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
    """Every declaration of a room by its path inside it, without the suffix: "demo", "fair/crcl"."""
    found: dict[str, Path] = {}
    for folder in folders(room):
        for path in sorted(folder.rglob("*.toml")):
            found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
    return found


def name_of(path: Path, room: Room) -> str:
    """What a declaration is called where a name has no slash: "fair-crcl" for sweeps/fair/crcl.toml; its stem outside
    the room."""
    for folder in folders(room):
        if path.resolve().is_relative_to(folder.resolve()):
            return "-".join(path.resolve().relative_to(folder.resolve()).with_suffix("").parts)
    return path.stem


def find(word: str, room: Room) -> Path:
    """A declaration by path or by name.

    Raises:
        HarnessError: there is none; says which there are.
    """
    path = Path(word)
    if path.suffix == ".toml" and path.is_file():
        return path
    name = path.with_suffix("") if path.suffix == ".toml" else path
    inside = name.relative_to(room) if name.parts[:1] == (room,) else name
    known = declarations(room)
    by_name = {**{key.replace("/", "-"): path for key, path in known.items()}, **known}
    if inside.as_posix() in by_name:
        return by_name[inside.as_posix()]
    raise HarnessError(f"{word}: there is no such file in {room}/; {suggest(inside.as_posix(), known)}")


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as nested tables."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HarnessError(f"{path}: is not TOML: {error}") from None
    except RecursionError:
        raise HarnessError(f"{path}: nests too many brackets; accepted: the keys that `harness list` shows") from None
    except OSError as error:
        raise HarnessError(f"{path}: cannot be read: {error.strerror}") from None

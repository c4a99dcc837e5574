"""The arrows between the rooms, held by the imports themselves."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import rooms
from rooms import LEVELS, OWNERS, REASONS, level_of

HARNESS = Path(__file__).parents[1] / "harness"


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Modules that a file imports, and whether when it is loaded or only when something is called."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lazy = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, id(node) in lazy


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "harness" and len(parts) > 1 else None


FILES = [path for path in sorted(HARNESS.rglob("*.py")) if path.parent != HARNESS or not path.stem.startswith("__")]


def test_every_room_has_its_place() -> None:
    found = {path.name for path in HARNESS.iterdir() if (path / "__init__.py").exists()}
    found |= {path.stem for path in HARNESS.glob("*.py") if not path.stem.startswith("__")}
    assert found == {room for level in LEVELS for room in level}, "tests/rooms.py and the package differ"


def test_the_page_shows_the_rooms_as_they_are_held() -> None:
    text = rooms.PAGE.read_text(encoding="utf-8")
    assert rooms.tables() in text
    assert rooms.page(text) == text, "run `python tests/rooms.py`"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HARNESS)))
def test_arrows_point_one_way(path: Path) -> None:
    room = path.relative_to(HARNESS).parts[0].removesuffix(".py")
    for module, _ in imports(path):
        other = room_of(module)
        if other in (None, room, "__version__"):
            continue
        assert other is not None
        allowed = level_of(other) > level_of(room) or (room, other) in REASONS
        assert allowed, f"{path.name} imports {module}: {room} may not know {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HARNESS)))
def test_a_large_package_is_imported_in_one_room_alone(path: Path) -> None:
    room = path.relative_to(HARNESS).parts[0].removesuffix(".py")
    for module, _ in imports(path):
        owner = OWNERS.get(module.split(".")[0])
        assert owner is None or room in owner.split(), f"{path.name} imports {module}, which is {owner}'s"


@pytest.mark.parametrize("room", ["methods", "backbones", "noise"])
def test_siblings_do_not_know_each_other(room: str) -> None:
    from harness.spec import own

    components = {cls.__module__ for cls in own(room.removesuffix("s")).values()}
    for module in components:
        path = HARNESS / room / f"{module.rpartition('.')[2]}.py"
        assert not {m for m, _ in imports(path)} & (components - {module})


def test_no_room_of_declarations_holds_code() -> None:
    for room in ("experiments", "sweeps", "reports"):
        assert not list((HARNESS.parent / room).rglob("*.py"))


def test_files_stay_readable_in_one_sitting() -> None:
    long = {p.name: n for p in HARNESS.rglob("*.py") if (n := len(p.read_text().splitlines())) > 350}
    assert not long

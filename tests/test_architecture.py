"""The arrows between the rooms, held by the imports themselves."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[1] / "harness"

# Every room may import the rooms below it, none above, and of its own level none but where a reason stands. The verbs of
# the command line call what Python programs call, so api is below cli; losses are the methods' own, called in one line.
LEVELS = [
    {"cli"},
    {"api"},
    {"search", "audit", "bench", "testing"},
    {"launch", "reporting", "parity"},
    {"training", "tracking", "grids", "losses"},
    {"methods", "backbones", "noise", "data", "evaluation", "ledger", "theory"},
    {"spec"},
    {"seeds", "files", "distributed"},
    {"errors", "compiling"},
]
REASONS = {
    ("evaluation", "backbones"): "scoring calls a backbone's three methods",
    ("evaluation", "data"): "scoring reads a split",
}
# Tables that leave the house, reports for readers and the API's for programs, are those of pandas; no room below has any.
OWNERS = {
    "mlflow": "tracking", "optuna": "search", "matplotlib": "reporting", "pandas": "reporting api",
    "transformers": "data backbones", "ray": "launch", "submitit": "launch", "nltk": "data",
}  # fmt: skip


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


def level(room: str) -> int:
    return next(number for number, rooms in enumerate(LEVELS) if room in rooms)


FILES = [path for path in sorted(HARNESS.rglob("*.py")) if path.parent != HARNESS or not path.stem.startswith("__")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HARNESS)))
def test_arrows_point_one_way(path: Path) -> None:
    room = path.relative_to(HARNESS).parts[0].removesuffix(".py")
    for module, _ in imports(path):
        other = room_of(module)
        if other in (None, room, "__version__"):
            continue
        assert other is not None
        allowed = level(other) > level(room) or (room, other) in REASONS
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

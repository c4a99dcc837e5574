"""A password in an address is seen nowhere: not on the screen, not in a file, not in a page."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_search_declaration import write
from toy import harness, write_grid

from harness.uris import hide, public, secrets, shown

SECRET = "S3cr3t-0f-n0b0dy"


@pytest.mark.parametrize(
    ("uri", "as_shown"),
    [
        ("postgresql://me:p%40ss@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("https://me:pw@host:5000/x", "https://me:***@host:5000/x"),
        ("https://token@host", "https://***@host"),
        ("mysql+pymysql://host/db?user=a&password=pw&x=1", "mysql+pymysql://host/db?user=a&password=***&x=1"),
        ("http://host/?access_token=abc", "http://host/?access_token=***"),
        ("sqlite:////tmp/a@b/x.db", "sqlite:////tmp/a@b/x.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)
def test_what_is_shown(uri: str, as_shown: str) -> None:
    assert shown(uri) == as_shown
    assert shown(f"look at {uri} again") == f"look at {as_shown} again"
    assert shown(as_shown) == as_shown


def test_what_others_say_of_an_address() -> None:
    uri = "postgresql://me:p%40ss@host/db"
    assert secrets(uri) == {"p%40ss", "p@ss"}
    assert hide("FATAL: the password 'p@ss' of me is wrong (p%40ss)", uri) == (
        "FATAL: the password '***' of me is wrong (***)"
    )
    assert hide("nothing to hide", None) == "nothing to hide"
    assert public("https://me:pw@host:5000/x?token=abc#f") == "https://host:5000/x"


@given(st.from_regex(r"[A-Za-z0-9_.~!$&'()*+,;=%:-]{6,20}", fullmatch=True))
def test_no_password_is_shown(word: str) -> None:
    said = shown(f"https://me:{word}@host/x and postgresql://you:{word}@host/db")
    assert word not in said


def with_it(folder: Path) -> list[Path]:
    """The files below a workplace, but for its data, in which the password stands."""
    return [
        path for path in folder.rglob("*")
        if path.is_file() and not path.is_relative_to(folder / "data") and SECRET.encode() in path.read_bytes()
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("mirrored")
def test_it_is_in_no_output(tmp_path: Path, toy_data: Path) -> None:
    (tmp_path / "data").symlink_to(toy_data)
    write_grid(tmp_path, "[axes.method.infonce]\nmethod.name = 'infonce'\nschedule.epochs = 1")
    (tmp_path / "report.toml").write_text(
        'title = "toy"\ngrids = ["toy.toml"]\nrows = ["method"]\nmetrics = ["rsum"]\nprotocol = "full"\n'
    )
    down = {"MLFLOW_TRACKING_URI": f"http://me:{SECRET}@127.0.0.1:9/?token={SECRET}"}
    said = []
    for words in (
        ("run", "toy.toml"), ("status", "toy.toml"), ("report", "report.toml"), ("ui",),
        ("sync", "--store", f"postgresql://me:{SECRET}@127.0.0.1:9/db?password={SECRET}"),
        ("run", "toy.toml", "--set", f"seed=1;x=http://a:{SECRET}@b/"),
    ):  # fmt: skip
        ran = harness(*words, cwd=tmp_path, **down)
        assert "Traceback" not in ran.stderr, (words, ran.stderr)
        said.append(ran.stdout + ran.stderr)
    assert SECRET not in "".join(said[:-1])
    assert "***" in "".join(said)
    assert with_it(tmp_path) == []


@pytest.mark.slow
@pytest.mark.usefixtures("mirrored")
def test_a_search_shows_it_nowhere(tmp_path: Path, toy_data: Path) -> None:
    """Its store takes the password and answers, and so does MLflow's: SQLite ignores a word that it does not know."""
    (tmp_path / "data").symlink_to(toy_data)
    spec = write(tmp_path)
    stores = {name: f"sqlite:///file:{tmp_path}/{name}.db?uri=true&password={SECRET}" for name in ("trials", "mlflow")}
    said = []
    for words in (
        ("sweep", spec, "--trials", "1", "--storage", stores["trials"]),
        ("sweep", spec, "--trials", "2", "--storage", stores["trials"]),
        ("sweep", spec, "--trials", "2"),
        ("sweep", spec, "--trials", "2", "--storage", stores["trials"].replace("trials.db", "other.db")),
        ("status",), ("report",), ("sync",),
    ):  # fmt: skip
        ran = harness(*words, cwd=tmp_path, MLFLOW_TRACKING_URI=stores["mlflow"])
        assert "Traceback" not in ran.stderr, (words, ran.stderr)
        said.append(ran.stdout + ran.stderr)
    assert "toy: 2 trials, 2 complete" in said[1]
    assert "its password is written nowhere" in said[2]
    assert "was begun with" in said[3]
    assert all((tmp_path / f"{name}.db").stat().st_size for name in stores)
    assert SECRET not in "".join(said)
    assert with_it(tmp_path) == []
    assert any(tmp_path.rglob("*.html")), "no page was looked at"

"""The README's commands, files and example are real."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import torch
from toy import harness

from harness.cli import VERBS
from harness.launch.engines import ENGINES
from harness.spec import check
from harness.testing import check_method

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)


def test_every_make_target_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", README)) <= targets


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize("target", ["demo", "rivals", "reproduce-flickr", "reproduce-all", "sweep-momentum", "tables"])
def test_smoke_makes_each_of_them_small(target: str) -> None:
    for given, small in (([], False), (["SMOKE=1"], True)):
        said = subprocess.run(
            ["make", "-n", target, *given], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        verbs = re.findall(r"harness (?:run|sweep|report|theory)\b[^;|]*", said)
        assert verbs
        assert [("--smoke" in verb) == small for verb in verbs] == [True] * len(verbs), said


def test_every_verb_exists() -> None:
    commands = "\n".join(text for language, text in BLOCKS if language == "sh") + "\n".join(
        re.findall(r"`[^`]*`", README)
    )
    assert set(re.findall(r"(?:^|[ `/])harness ([a-z]+)", commands)) <= set(VERBS)


def test_the_sweep_is_a_valid_grid(tmp_path: Path) -> None:
    text = next(text for language, text in BLOCKS if language == "toml")
    tomllib.loads(text)
    (tmp_path / "beta.toml").write_text(text)
    checked = harness("check", "beta.toml", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert "12 cells, 12 to train" in checked.stdout


def test_the_profile_is_valid() -> None:
    page = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
    profile = tomllib.loads("\n".join(re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)))
    assert list(profile) == list(ENGINES)
    for name, settings in profile.items():
        assert settings.keys() <= check(ENGINES[name], settings, where="README.md", prefix=name).keys()


def test_the_example_method_works_with_one_line_in_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.grids.resolve import resolve_run
    from harness.methods import METHODS

    (text,) = [text for language, text in BLOCKS if language == "python"]
    names: dict[str, type] = {}
    exec(compile(text, "README.md", "exec"), names)
    monkeypatch.setitem(METHODS, "one_way", names["OneWay"])
    run = resolve_run(
        {
            "dataset": "twemoji", "noise": "caption_level", "backbone": "vse_infinity",
            "method": {"name": "one_way", "tau": 0.1}, "schedule": {"epochs": 1},
        },
        "README.md",
    )  # fmt: skip
    assert run.method.parameters == {"tau": 0.1}
    values = names["OneWay"](tau=1.0).loss(torch.eye(2), None, {}, None)
    assert float(values["loss"]) == pytest.approx(float(torch.log1p(torch.exp(torch.tensor(-1.0)))))
    check_method(names["OneWay"], epochs=1, only=["resume", "memory", "batch of one", "collapsed scores"], tau=0.1)


def test_it_is_short() -> None:
    assert len(README.split()) <= 1700


def test_it_opens_with_whom_it_is_for_and_how_to_get_it() -> None:
    opening = README.partition("```")[0]
    for user in ("reproduce or compare", "pictures and captions of your own", "add a method"):
        assert user in opening
    assert BLOCKS[0][1].startswith("git clone ")
    assert re.search(r"make demo .* CPU minutes", BLOCKS[0][1])  # measured; what the machine makes of them is its own
    assert "FLOP" not in README
    places = re.findall(r"^\| `.+\|$", README.partition("## What lies where")[2], flags=re.MULTILINE)
    assert 0 < len(places) <= 12
    for folder in re.findall(r"`([\w/]+)/`", "".join(row.split("|")[1] for row in places)):
        assert any((root / folder).is_dir() for root in (ROOT, ROOT / "harness")), folder

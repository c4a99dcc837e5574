"""The command line: quick, and one clear line with status 2 for bad input."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from toy import harness, write_grid

from harness.api.running import Ran
from harness.cli import VERBS, group, main
from harness.cli.running import name_report, show_next
from harness.grids.rooms import declarations, find
from harness.ledger import Ledger

HEAVY = (
    "torch",
    "mlflow",
    "optuna",
    "matplotlib",
    "pandas",
    "transformers",
    "sklearn",
    "nltk",
    "numpy",
    "pydantic",
)


def test_help_imports_nothing_heavy_and_answers_at_once(tmp_path: Path) -> None:
    code = f"import sys, harness.cli; print([m for m in {HEAVY!r} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = harness("--help", cwd=tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert all(verb in shown.stdout for verb in VERBS)
    assert after.ru_utime - before.ru_utime < 1  # of the processor: others may use the machine, too


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, tmp_path: Path) -> None:
    shown = harness(verb, "--help", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("Usage: ")


def test_list_shows_what_a_spec_may_name(tmp_path: Path) -> None:
    shown = harness("list", cwd=tmp_path).stdout
    for name in ("demo", "flickr30k_noise", "crcl", "vse_infinity", "caption_level", "flickr30k", "cc152k"):
        assert name in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rum", "demo"], "no such verb; did you mean 'run'?"),
        (["run", "demoo"], "there is no such file in experiments/; did you mean 'demo'?"),
        (["check", "nowhere.toml"], "nowhere.toml: there is no such file in experiments/"),
        (["run", "demo", "--only", "method"], "write AXIS=VALUE"),
        (["run", "demo", "--only", "methd=crcl"], "did you mean 'method'?"),
        (["run", "demo", "--device", "warp"], "--device warp: this machine has no such device"),
        (["run", "flickr30k_noise"], "f30k_precomp"),
        (["cell", "abc"], "no run is called 'abc'"),
        (["diagnose", "abc"], "no run is called 'abc'"),
        (["ensemble", "abc"], "one run is no ensemble"),
        (["evaluate", "nothing.safetensors", "flickr30k"], "f30k_precomp"),
        (["verify", "nowhere"], "nowhere"),
        (["report", "nothing"], "nothing"),
        (["data", "check", "flickr31k"], "did you mean 'flickr30k'?"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    ran = harness(*arguments, cwd=tmp_path)
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert message in ran.stderr
    assert "Traceback" not in ran.stderr
    lines = [line for line in ran.stderr.splitlines() if line.lower().startswith("error")]
    assert len(lines) == 1


def test_a_spec_that_is_not_text_is_one_line(tmp_path: Path) -> None:
    path = write_grid(tmp_path, "")
    path.write_bytes(b"\xff\xfe\x00")
    ran = harness("check", path, cwd=tmp_path)
    assert ran.returncode == 2
    assert "is not TOML" in ran.stderr


def test_list_shows_the_hyperparameters_of_a_component(tmp_path: Path) -> None:
    shown = harness("list", "crcl", cwd=tmp_path).stdout
    assert "default 0.8, >= 0, <= 1" in shown
    assert "one of tan, identity, log, exp" in shown
    asked = harness("list", "crlc", cwd=tmp_path)
    assert asked.returncode == 2
    assert "did you mean 'crcl'?" in asked.stderr


def test_help_of_run_and_audit_ends_with_examples() -> None:
    for verb in ("run", "audit"):
        lines = CliRunner().invoke(group, [verb, "--help"]).output.splitlines()
        examples = lines[lines.index("  Examples:") + 1 :]
        assert len(examples) >= 3
        assert all(line.startswith(f"    harness {verb} ") for line in examples)  # a line each, not run together


def completions(line: str) -> list[str]:
    """What bash would offer at the end of a line."""
    words = line.split(" ")
    asked = {"_HARNESS_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    ran = CliRunner().invoke(group, [], prog_name="harness", env=asked)
    return [word.partition(",")[2] for word in ran.output.splitlines()]


def test_a_shell_completes_verbs_options_and_names() -> None:
    assert completions("harness co") == ["compare", "completion"]
    assert {"--jobs", "--dry-run"} <= set(completions("harness run --"))
    for verb, room in (("run", "experiments"), ("sweep", "sweeps"), ("report", "reports")):
        assert set(completions(f"harness {verb} ")) == set(declarations(room))
    assert completions("harness check demo") == ["demo"]
    assert completions("harness run ./my_gri") == ["./my_gri"]  # no name: the shell completes a file


def test_completing_imports_nothing_heavy(tmp_path: Path) -> None:
    code = f"""
import os, sys
os.environ |= {{"_HARNESS_COMPLETE": "bash_complete", "COMP_WORDS": "harness run de", "COMP_CWORD": "2"}}
sys.argv = ["harness"]
from harness.cli import main
try:
    main()
finally:
    print([m for m in {HEAVY!r} if m in sys.modules])
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["plain,demo", "[]"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_asks_harness(shell: str) -> None:
    said = CliRunner().invoke(group, ["completion", shell])
    assert said.exit_code == 0
    assert f"_HARNESS_COMPLETE={shell}_complete" in said.output


def test_a_run_ends_with_its_results_and_the_next_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def show(states: dict[str, str], runs: str) -> str:
        cells = {Ledger(Path(runs)).cell(name): state for name, state in states.items()}
        show_next(Ran(cells, {}, {}, 0), runs=Path(runs), report="harness report demo")
        return capsys.readouterr().out

    assert show({"a": "failed"}, "runs") == ""
    assert show({"a": "done"}, "runs") == "results: runs/a\nnext:    `harness report demo`, `harness ui`\n"
    many = show({"a": "done", "b": "done"}, "my runs")
    assert many.startswith("results: my runs, a folder for each run\n")
    assert "`harness report demo --runs 'my runs'`" in many
    assert name_report(find("demo", "experiments"), smoke=True) == "harness report demo --smoke"
    mine = write_grid(tmp_path, "")
    assert name_report(mine, smoke=False) == f"harness status {mine}"


@pytest.mark.parametrize(
    "words",
    [
        ("run", "toy.toml", "--runs", "file/runs"), ("status", "toy.toml", "--runs", "file/runs"),
        ("theory", "--smoke", "--trials", "1", "--out", "file/out"), ("report", "toy.toml", "--out", "file/out"),
        ("run", "toy.toml", "--runs", "/proc/runs"),
    ],
)  # fmt: skip
def test_a_folder_that_cannot_be_is_one_line(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_grid(tmp_path, "[axes]\nmethod = ['infonce']")
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["harness", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2, said
    assert said.startswith("error: ")
    assert said.count("\n") == 1

"""A build that is killed for real continues; two builds at once do not meet."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pictures import source

ROOT = Path(__file__).parents[1]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def command(pictures: Path, captions: Path, out: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "harness", "data", "build"),
        *("--images", str(pictures), "--captions", str(captions), "--out", str(out)),
        *("--regions", "4", "--dtype", "float16", "--batch-size", "4", "--device", "cpu"),
    ]  # fmt: skip


# The same command on one core, with a record after every batch: there is time to kill it on any machine.
SLOWLY = """
from harness.data.build import encode
from harness.cli import main
encode.SAVE_SECONDS, encode.MOST_THREADS = 0.0, 1
main()
"""


def finished(process: "subprocess.CompletedProcess[str]") -> str:
    assert process.returncode == 0, process.stderr
    return process.stdout


def run(arguments: list[str]) -> str:
    return finished(subprocess.run(arguments, env=ENVIRONMENT, capture_output=True, text=True, timeout=900))


def done(partial: Path) -> int:
    try:
        return int(json.loads((partial / "progress.json").read_text())["done"])
    except FileNotFoundError:
        return 0


@pytest.mark.slow
def test_kill_minus_nine_and_the_same_command(tmp_path: Path) -> None:
    pictures, captions = source(tmp_path, {"train": 90, "dev": 10})
    whole, killed = tmp_path / "a" / "mine", tmp_path / "b" / "mine"
    run(command(pictures, captions, whole))

    arguments = [sys.executable, "-c", SLOWLY, *command(pictures, captions, killed)[3:]]
    process = subprocess.Popen(arguments, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    partial = tmp_path / "b" / "mine.partial"
    while done(partial) == 0:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    before = done(partial)
    assert 0 < before < 100
    assert not killed.exists()  # nothing that could be taken for a finished dataset

    said = run(command(pictures, captions, killed))
    assert f"continuing after {before} of 100 images" in said
    assert not partial.exists()
    names = sorted(path.name for path in whole.iterdir())
    assert sorted(path.name for path in killed.iterdir()) == names
    for name in names:
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name


ENSURE = """
import sys
from pathlib import Path
from harness.data.build import twemoji
from harness.data.build.captions import Manifest
whole = twemoji.twemoji_manifest()
cut = Manifest({split: items[:8] for split, items in whole.splits.items()}, whole.captions_per_image)
twemoji.twemoji_manifest = lambda: cut
twemoji.ensure_twemoji(Path(sys.argv[1]), say=lambda line: print(line, flush=True))
"""


@pytest.mark.slow
def test_two_processes_build_the_benchmark_once(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", ENSURE, str(tmp_path / "data")]
    pair = [subprocess.Popen(arguments, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=900)[0] for process in pair]
    assert [process.returncode for process in pair] == [0, 0]
    assert "".join(said).count(": built,") == 1
    assert (tmp_path / "data" / "twemoji" / "card.json").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_build_that_meets_another_says_so(tmp_path: Path, overwrite: bool) -> None:
    from filelock import FileLock

    from harness.data.build import Recipe, build_dataset
    from harness.errors import HarnessError

    pictures, captions = source(tmp_path, {"train": 2, "dev": 1})
    with (
        FileLock(tmp_path / ".mine.lock"),
        pytest.raises(HarnessError, match="another process is building it"),
    ):
        build_dataset(pictures, captions, tmp_path / "mine", Recipe(), overwrite=overwrite)
    assert not (tmp_path / "mine.partial").exists()

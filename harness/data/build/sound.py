"""Recordings as captions: log-mel frames, `{split}_caps.npy` beside the features.

A stage of its own over a folder that has its pictures and one caption for each recording, as `pixels` is. A recording
is read as one channel of 16 kHz. Every 10 ms it has the logarithm of 40 mel bands over 25 ms, each band with mean 0 and
deviation 1 over the recording, which takes loudness and microphone out; `frame_ms` of these stand together as one
vector. A split's files appear whole, by a rename; a build that was killed hears that split anew.
"""

import io
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data import layout
from harness.data.build.sources import Source
from harness.data.build.store import SETTINGS, refuse_other_settings
from harness.data.runs import write_runs
from harness.errors import HarnessError
from harness.extras import require
from harness.files import link_or_copy, read_json, write_json

RATE = 16_000  # samples a second
MELS = 40
WINDOW, HOP, FFT = RATE // 40, RATE // 100, 512  # samples
FRAME_MS = 120  # two seconds, the name of an emoji, are 16 vectors of 480
LONGEST = 60.0  # seconds; what is longer is an album, and no caption
SAY_SECONDS = 30.0
AT_ONCE = 16  # recordings: their threads wait for a disk or for the program that speaks

Samples = NDArray[np.float32]


def read_sound(file: Path | bytes, name: str) -> Samples:
    """A recording (WAV, FLAC, OGG, MP3) as one channel of 16 kHz, float32 (samples,).

    Raises:
        HarnessError: not there, no sound, empty or longer than a minute; or the package that reads it is missing.
    """
    soundfile = require("soundfile", "recordings", extra="sound")
    try:
        with soundfile.SoundFile(file if isinstance(file, Path) else io.BytesIO(file)) as opened:
            rate, frames = opened.samplerate, opened.frames
            if not 0 < frames <= LONGEST * rate:
                raise HarnessError(
                    f"{name}: {frames / rate:.1f} seconds; accepted: more than 0 and up to {LONGEST:.0f}; cut it"
                )
            samples: Samples = opened.read(dtype="float32", always_2d=True).mean(axis=1)
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        if isinstance(error, HarnessError):
            raise
        raise HarnessError(f"{name}: cannot be read ({error}); accepted: WAV, FLAC, OGG, MP3") from None
    return resampled(samples, rate)


def resampled(samples: Samples, rate: int) -> Samples:
    """Samples of another rate as 16 kHz."""
    from scipy.signal import resample_poly

    if rate == RATE:
        return samples
    shared = int(np.gcd(rate, RATE))
    result: Samples = resample_poly(samples, RATE // shared, rate // shared).astype(np.float32)
    return result


def frames_of(samples: Samples, frame_ms: int = FRAME_MS) -> NDArray[np.float32]:
    """Samples of 16 kHz as vectors, float32 (n, 40 * frame_ms / 10), n at least 1; silence fills the last one."""
    each = frame_ms * RATE // 1000 // HOP  # hops of a vector
    samples = np.pad(samples, (0, max(0, WINDOW - len(samples))))
    hops = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(hops * _window(), FFT)) ** 2  # (hops, FFT / 2 + 1)
    mels = np.log(np.maximum(power @ _filters(), 1e-10))
    mels = (mels - mels.mean(axis=0)) / np.maximum(mels.std(axis=0), 1e-3)
    mels = np.pad(mels, ((0, -len(mels) % each), (0, 0)))
    stacked: NDArray[np.float32] = mels.reshape(-1, each * MELS).astype(np.float32)
    return stacked


@cache
def _filters() -> Any:
    """(FFT / 2 + 1, MELS)"""
    audio = require("transformers.audio_utils", "recordings", extra="sound")
    return audio.mel_filter_bank(FFT // 2 + 1, MELS, 20.0, RATE / 2, RATE, norm=None, mel_scale="htk")


@cache
def _window() -> Any:
    return require("transformers.audio_utils", "recordings", extra="sound").window_function(WINDOW, "hann")


def add_sound(
    folder: Path,
    hear: Callable[[str, int], Samples],
    *,
    frame_ms: int = FRAME_MS,
    say: Callable[[str], None],
) -> None:
    """Write what is missing of the recordings of a data set's captions, float16.

    hear: a split and the row of a caption -> its samples of 16 kHz; called in threads. The caller keeps others out.

    Raises:
        HarnessError: frames of another length are there, a recording cannot be read, the disk is full.
    """
    settings = read_json(folder / SETTINGS) or {}
    before: layout.SplitFiles | None = None
    for split in ("train", "dev", "test"):
        files = layout.split_files(folder, split)
        if not files.captions.is_file():
            continue
        if files.spoken.is_file() and files.spoken_offsets.is_file():
            former = {"frame_ms": settings.get("frame_ms", frame_ms)}
            refuse_other_settings(folder, "a finished dataset", former, {"frame_ms": frame_ms})
            continue
        if before is not None and files.captions.samefile(before.captions):  # dev that doubles as test
            link_or_copy(before.spoken_offsets, files.spoken_offsets)
            link_or_copy(before.spoken, files.spoken)
            continue
        before = files
        rows = range(len(layout.without_blank_end(layout.read_captions(files.captions)[0])))
        _write(files, _heard(split, rows, hear, frame_ms), len(rows), say)
    write_json(folder / SETTINGS, {**settings, "frame_ms": frame_ms})


def add_recordings(folder: Path, source: Source, *, frame_ms: int = FRAME_MS, say: Callable[[str], None]) -> None:
    """`add_sound` where a caption, as it is written, is the name of its recording in `source`."""
    names: dict[str, list[str]] = {}

    def hear(split: str, row: int) -> Samples:
        if split not in names:
            names[split] = layout.read_captions(layout.split_files(folder, split).captions)[0]
        name = names[split][row]
        try:
            with source.open(name) as file:
                content = file.read()
        except (FileNotFoundError, IsADirectoryError):
            raise HarnessError(
                f"{source.path}: the captions name the recording {name[:60]!r}, which is not there; accepted: captions "
                "that are names of files in it; add the file or take its row out"
            ) from None
        return read_sound(content, f"{source.path}: {name}")

    add_sound(folder, hear, frame_ms=frame_ms, say=say)


def _heard(
    split: str, rows: Sequence[int], hear: Callable[[str, int], Samples], frame_ms: int
) -> Iterator[NDArray[np.float32]]:
    """The frames of each row, in order; a few recordings are heard ahead."""

    def heard(row: int) -> NDArray[np.float32]:
        return frames_of(hear(split, row), frame_ms)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        waiting: deque[Future[NDArray[np.float32]]] = deque()
        try:
            for row in rows:
                waiting.append(pool.submit(heard, row))
                if len(waiting) > 2 * AT_ONCE:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _write(
    files: layout.SplitFiles, items: Iterable[NDArray[np.float32]], count: int, say: Callable[[str], None]
) -> None:
    """The two files of a split."""
    started = time.monotonic()
    vectors = write_runs(files.spoken, _told(items, files.spoken.name, count, say))
    rate = count / max(time.monotonic() - started, 1e-9)
    say(f"{files.spoken.name}: {count:,} recordings, {vectors:,} vectors, {rate:.0f} recordings/s")


def _told(
    items: Iterable[NDArray[np.float32]], name: str, count: int, say: Callable[[str], None]
) -> Iterator[NDArray[np.float32]]:
    said = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - said > SAY_SECONDS:
            said = time.monotonic()
            say(f"{name}: {done:,} of {count:,} recordings")
        yield item

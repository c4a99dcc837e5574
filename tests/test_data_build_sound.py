"""Recordings as captions: frames against a slow twin, the build from one's own recordings, stamps, and the voices."""

import math
import shutil
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from pictures import write_pictures

from harness.cli import group
from harness.data import open_dataset
from harness.data.build import sound, speech, stamps
from harness.data.build.sound import FFT, HOP, MELS, RATE, WINDOW, frames_of, read_sound
from harness.errors import HarnessError


def tone(seconds: float, pitch: float, rate: int = RATE) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * pitch * time * (1 + 0.2 * time))).astype(np.float32)


def slow_frames(samples: np.ndarray, each: int) -> list[list[float]]:
    """One window, one band, one number at a time."""
    filters = sound._filters()
    window = [0.5 - 0.5 * math.cos(2 * math.pi * n / WINDOW) for n in range(WINDOW)]
    hops = []
    for begin in range(0, len(samples) - WINDOW + 1, HOP):
        cut = [samples[begin + n] * window[n] for n in range(WINDOW)] + [0.0] * (FFT - WINDOW)
        power = [abs(value) ** 2 for value in np.fft.fft(cut)[: FFT // 2 + 1]]
        hops.append([math.log(max(1e-10, float(np.dot(power, filters[:, band])))) for band in range(MELS)])
    for band in range(MELS):
        column = [hop[band] for hop in hops]
        mean = sum(column) / len(column)
        deviation = math.sqrt(sum((value - mean) ** 2 for value in column) / len(column))
        for hop in hops:
            hop[band] = (hop[band] - mean) / max(deviation, 1e-3)
    while len(hops) % each:
        hops.append([0.0] * MELS)
    return [list(chain(*hops[first : first + each])) for first in range(0, len(hops), each)]


@pytest.mark.parametrize(("seconds", "frame_ms"), [(0.33, 120), (0.05, 30), (0.01, 60)])
def test_frames_are_their_slow_twin(seconds: float, frame_ms: int) -> None:
    samples = tone(seconds, 700) + 0.01 * np.random.default_rng(0).standard_normal(round(seconds * RATE))
    got = frames_of(samples.astype(np.float32), frame_ms)
    padded = np.pad(samples, (0, max(0, WINDOW - len(samples))))
    np.testing.assert_allclose(got, slow_frames(padded, frame_ms // 10), atol=2e-3)


@pytest.mark.parametrize(("name", "rate", "channels"), [("a.wav", 44100, 2), ("a.flac", 8000, 1), ("a.ogg", 22050, 1)])
def test_recordings_of_any_kind_become_one_channel_of_16_khz(
    tmp_path: Path, name: str, rate: int, channels: int
) -> None:
    soundfile.write(tmp_path / name, np.stack([tone(0.5, 440, rate)] * channels, axis=1), rate)
    got = read_sound(tmp_path / name, name)
    assert got.dtype == np.float32
    assert len(got) == pytest.approx(RATE / 2, abs=2)
    middle = slice(2000, 6000)
    assert np.abs(got[middle] - tone(0.5, 440)[middle]).max() < 0.05
    np.testing.assert_array_equal(read_sound((tmp_path / name).read_bytes(), name), got)


def test_what_is_no_recording_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"no sound")
    with pytest.raises(HarnessError, match=r"a\.wav: cannot be read .*; accepted: WAV, FLAC, OGG, MP3"):
        read_sound(tmp_path / "a.wav", "a.wav")
    soundfile.write(tmp_path / "b.wav", np.zeros(61 * 800), 800)
    with pytest.raises(HarnessError, match=r"61\.0 seconds; accepted: more than 0 and up to 60; cut it"):
        read_sound(tmp_path / "b.wav", "b.wav")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Six pictures with a recording each, the captions of a table."""
    write_pictures(tmp_path / "pictures", [f"{number}.png" for number in range(6)])
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    (tmp_path / "said").mkdir()
    rows = ["image,caption,split"]
    for number, name in enumerate(names):
        soundfile.write(tmp_path / f"said/{number}.wav", tone(0.3 + 0.1 * number, 300 + 50 * number), RATE)
        rows.append(f"{name},{number}.wav,{'train' if number < 4 else 'dev'}")
    (tmp_path / "captions.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def build(own: Path, *more: str) -> str:
    ran = CliRunner().invoke(
        group,
        [
            "data", "build", "--images", str(own / "pictures"), "--captions", str(own / "captions.csv"), "--recordings",
            str(own / "said"), "--out", str(own / "data/heard"), "--regions", "1", *more,
        ],
    )  # fmt: skip
    assert ran.exit_code == 0 or isinstance(ran.exception, HarnessError), ran.exc_info
    return f"{ran.exit_code} {ran.output}{ran.exception or ''}"


def test_own_recordings_become_a_side_and_are_not_heard_twice(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert build(own).startswith("0 ")
    dataset = open_dataset("heard", own / "data")
    split = dataset.split("train")
    assert (dataset.caption_dim, split.texts) == (480, ["0.wav", "1.wav", "2.wav", "3.wav"])
    values, lengths = split.captions.padded(np.array([2]))
    expected = frames_of(read_sound(own / "said/2.wav", "2.wav")).astype(np.float16)
    np.testing.assert_array_equal(values[0], expected)
    assert lengths.tolist() == [4]
    assert dataset.split("test").texts == ["4.wav", "5.wav"]  # dev doubles as test
    monkeypatch.setattr(sound, "frames_of", lambda *_: pytest.fail("heard again"))
    assert "already built" in build(own)
    assert "heard: a finished dataset with other settings (frame_ms was 120, is now 60)" in build(
        own, "--frame-ms", "60"
    ).replace(f"{own}/data/", "")


def test_a_missing_recording_is_named_and_the_build_goes_on_later(own: Path) -> None:
    (own / "said/2.wav").rename(own / "2.wav")
    said = build(own)
    assert said.startswith("1 ")
    assert "the captions name the recording '2.wav', which is not there" in said
    assert not list((own / "data/heard").glob("*.partial"))
    (own / "2.wav").rename(own / "said/2.wav")
    assert build(own).startswith("0 ")
    assert open_dataset("heard", own / "data").caption_dim == 480


def test_stamps_are_pictures_with_a_recording_in_every_language(tmp_path: Path) -> None:
    place = tmp_path / "place"
    write_pictures(place / "animals", [f"{number}.png" for number in range(5)])
    for number, picture in enumerate(sorted((place / "animals").glob("*.png"))):
        for language in stamps.LANGUAGES[: 5 if number else 4]:
            soundfile.write(picture.with_name(f"{picture.stem}_desc_{language}.ogg"), tone(0.2, 400), RATE)
        picture.with_suffix(".txt").write_text("A cow.\nfr.utf8=Une vache.\nes.utf8=\n")
    out = stamps.build_stamps(tmp_path / "data", place=place, held_out=1)
    dataset = open_dataset("stamps", tmp_path / "data")
    counts = [len(dataset.split(split).regions) for split in ("train", "dev", "test")]
    assert counts == [2, 1, 1]  # one of the five lacks a language
    assert dataset.split("dev").texts == ["A cow.", "Une vache.", "A cow.", "A cow.", "A cow."]
    assert dataset.caption_dim == 480
    assert out == tmp_path / "data/stamps"
    with pytest.raises(HarnessError, match=r"4 stamps with recordings .*; accepted: those of Tux Paint: apt-get"):
        stamps.build_stamps(tmp_path / "other", place=place)


def test_without_the_program_that_speaks_there_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speech.shutil, "which", lambda _: None)
    ran = CliRunner().invoke(group, ["data", "build", "speech", "--data", str(tmp_path)])
    assert isinstance(ran.exception, HarnessError)
    assert "espeak-ng, which speaks, is not here; accepted: apt-get install espeak-ng" in str(ran.exception)
    ran = CliRunner().invoke(group, ["data", "build", "speech", "--regions", "4", "--data", str(tmp_path)])
    assert "data build speech: does not take --regions" in str(ran.exception)


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not here")
def test_a_name_is_said_by_a_voice_of_its_own() -> None:
    one, again, other = (speech.spoken("grinning face", "en", name) for name in ("a.png", "a.png", "b.png"))
    np.testing.assert_array_equal(one, again)
    assert len(one) != len(other)
    assert 0.3 * RATE < len(one) < 3 * RATE
    assert np.abs(one).max() > 0.05
    assert set(speech.VOICES) == set(speech.LANGUAGES)

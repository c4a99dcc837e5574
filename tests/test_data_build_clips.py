"""Videos of moving emoji: what a clip shows and says, their order, splits by video, and a training under `shifted`."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn
from torch.nn import functional as F
from toy import finished

from harness.cli import group
from harness.data import open_dataset
from harness.data.build import build_clips, clips
from harness.data.build.clips import CAST, CLIPS, FRAMES, MOTIONS, Clip, drawn, emoji_names, video
from harness.data.build.encoders import Encoder
from harness.errors import HarnessError

VIDEOS = {"train": 4, "dev": 2, "test": 2}


class Small(Encoder):
    """Colours of a coarse grid, so that no weights are needed."""

    name, size, region_dim = "small", 48, 3

    def __init__(self) -> None:
        super().__init__(nn.Linear(1, 1), 4, "cpu", [255.0] * 3, [255.0] * 3)

    def feature_map(self, pixels: Tensor) -> Tensor:
        return F.avg_pool2d(pixels, 8)


@pytest.fixture(scope="module")
def names() -> dict[str, str]:
    return emoji_names()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clips, "open_encoder", lambda *_, **__: Small())
        patch.setattr(clips, "WIDTH", 8)
        build_clips(data, videos=VIDEOS)
        said: list[str] = []
        build_clips(data, videos=VIDEOS, say=said.append)
        build_clips(data / "again", videos={"train": 4, "dev": 1, "test": 1})
    assert "already built" in said[0]
    return data


def middle(frame: np.ndarray) -> tuple[float, float]:
    """Where the ink is, right and down."""
    ink = 255.0 - frame.mean(axis=2)
    down, right = np.indices(ink.shape)
    return float((ink * right).sum() / ink.sum()), float((ink * down).sum() / ink.sum())


def test_neighbouring_clips_share_the_actor_or_the_motion(names: dict[str, str]) -> None:
    order = list(names)
    for number in range(50):
        told = video(number, names)
        assert told == video(number, names)
        scenes = [(clip.actor, clip.motion) for clip in told]
        assert len(set(scenes)) == len(told) == CLIPS
        places = [order.index(name) for clip in told for name in (clip.actor, clip.other) if name]
        assert max(places) - min(places) < CAST
        for (actor, motion), (next_actor, next_motion) in pairwise(scenes):
            assert (actor == next_actor) != (motion == next_motion)
        for clip in told:
            assert clip.other != clip.actor
            assert FRAMES[0] <= clip.frames <= FRAMES[1]
            for caption in clip.captions:
                assert names[clip.actor] in caption
                assert clip.other is None or names[clip.other] in caption
                assert any(words in caption for words in clip.motion.said)


@pytest.mark.parametrize("motion", MOTIONS, ids=lambda motion: motion.said[0])
def test_frames_show_what_is_said(motion: Any) -> None:
    frames = drawn(Clip("1f345.png", None, motion, 5, (0.5, 0.5), (0.1, 0.1), ("", "")), 96)  # a tomato
    assert (frames.shape, frames.dtype) == ((5, 96, 96, 3), np.uint8)
    ink = [float((255.0 - frame).sum()) for frame in frames]
    (x, y), (last_x, last_y) = middle(frames[0]), middle(frames[-1])
    assert last_x - x == pytest.approx(96 * motion.right, abs=4)
    assert last_y - y == pytest.approx(96 * motion.down, abs=4)
    assert ink[-1] / ink[0] == pytest.approx(motion.growth**2, rel=0.1)
    same = np.array_equal(frames[0], frames[-1])
    assert same == (motion == MOTIONS[-1])


def test_left_is_right_backwards_and_a_companion_rests() -> None:
    left, right = (
        drawn(Clip("1f345.png", "1f400.png", motion, 4, (0.45, 0.55), (0.14, 0.86), ("", "")), 96)
        for motion in MOTIONS[:2]
    )
    np.testing.assert_array_equal(left, right[::-1])
    corner = left[:, -20:, :20]
    assert (corner == corner[:1]).all()
    assert corner.min() < 128


def test_the_folder_is_in_the_order_of_time_and_split_by_videos(root: Path, names: dict[str, str]) -> None:
    dataset = open_dataset("clips", root)
    assert (dataset.region_dim, dataset.caption_dim) == (32, None)
    first = 0
    for name, count in VIDEOS.items():
        told = [clip for number in range(first, first + count) for clip in video(number, names)]
        split = dataset.split(name)
        assert split.image_ids == [f"{n:04}-{place}" for n in range(first, first + count) for place in range(CLIPS)]
        assert split.texts == [caption for clip in told for caption in clip.captions]
        assert split.image_of_caption.tolist() == np.repeat(np.arange(CLIPS * count), 2).tolist()
        assert np.load(root / f"clips/{name}_ims_offsets.npy").tolist() == [
            0, *np.cumsum([clip.frames for clip in told])
        ]  # fmt: skip
        first += count


def test_a_frame_is_its_quarters_less_the_empty_canvas(root: Path, names: dict[str, str]) -> None:
    split, clip = open_dataset("clips", root).split("train"), video(0, names)[3]
    values, lengths = split.gather(np.array([3]))
    assert lengths.tolist() == [clip.frames]
    frames = torch.from_numpy(drawn(clip, 48)).double() / 255 - 1  # (frames, 48, 48, 3), 0 where it is white
    quarters = [frames[:, y : y + 24, x : x + 24].mean(dim=(1, 2)) for y in (0, 24) for x in (0, 24)]
    projection = clips.rng_for("clips", "projection").standard_normal((3, 8)) / 8**0.5
    expected = np.concatenate([quarter.numpy() @ projection for quarter in quarters], axis=1)
    np.testing.assert_allclose(values[0], expected, atol=2e-3)


def test_a_split_is_the_same_whatever_the_others_hold(root: Path) -> None:
    for file in (root / "clips").glob("train_*"):
        assert file.read_bytes() == (root / "again/clips" / file.name).read_bytes()


def test_captions_of_a_neighbouring_clip_are_trained_on(tmp_path: Path, root: Path) -> None:
    cell = finished(
        tmp_path,
        '[axes]\ndataset = ["clips"]\n"backbone.images" = ["sequence"]\n"schedule.epochs" = [2]\nmethod = ["infonce"]\n'
        'noise = [{ name = "shifted", rate = 0.4 }]\n',
        root,
    )
    result = cell.result()
    assert result is not None
    assert result["noise"]["realised_rate"] == 0.4
    paired, clips_there = np.load(cell.path("noise.npy")), VIDEOS["train"] * CLIPS
    shift = (paired - np.arange(2 * clips_there) // 2) % clips_there
    assert set(shift.tolist()) == {0, 1, clips_there - 1}


def test_the_command_takes_no_recipe(tmp_path: Path) -> None:
    ran = CliRunner().invoke(group, ["data", "build", "clips", "--regions", "4", "--data", str(tmp_path)])
    assert isinstance(ran.exception, HarnessError)
    assert "data build clips: does not take --regions" in str(ran.exception)
    ran = CliRunner().invoke(group, ["data", "build", "clps", "--data", str(tmp_path)])
    assert "accepted: twemoji, speech, stamps, clipart, clips; or --images" in str(ran.exception)

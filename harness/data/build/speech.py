"""The embedded benchmark speaks: the names of the emoji through the voices of espeak-ng, in five languages.

Pictures and names are the first ones of twemoji's splits. A stand-in for spoken captions, as twemoji is one for written
ones: a machine speaks more evenly than people do. So that no word always sounds the same, each caption has a voice, a
pace and a pitch of its own, drawn by name.
"""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.data import layout
from harness.data.build.build import build_whole, say_nothing
from harness.data.build.sound import FRAME_MS, Samples, add_sound, read_sound
from harness.data.build.twemoji import LANGUAGES, ensure_twemoji
from harness.data.cards import DatasetCard
from harness.errors import HarnessError
from harness.extras import require
from harness.files import write_array, write_atomic
from harness.seeds import rng_for

NAME = "speech"
PROGRAM = "espeak-ng"
PICTURES = {"train": 1000, "dev": 200, "test": 200}  # of twemoji's: 7,000 recordings are made in minutes
VOICES = {"en": "en-us", "es": "es", "fr": "fr-fr", "it": "it", "pt": "pt"}
VARIANTS = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "f5")
PACES, PITCHES = (140, 200), (30, 70)  # words a minute; of 0 to 99


def build_speech(root: Path, *, overwrite: bool = False, say: Callable[[str], None] = say_nothing) -> Path:
    """Build `root/speech` beside `root/twemoji`, which is built first where it is not there.

    Raises:
        HarnessError: espeak-ng or a package is missing.
    """
    require("soundfile", "the benchmark speech", extra="sound")
    if shutil.which(PROGRAM) is None:
        raise HarnessError(
            f"data build {NAME}: the program {PROGRAM}, which speaks, is not here; accepted: apt-get install "
            f"{PROGRAM} (or brew install {PROGRAM}); nothing else needs it"
        )
    source = ensure_twemoji(root, say=say)

    def make(folder: Path) -> dict[str, Any]:
        texts: dict[str, list[str]] = {}
        names: dict[str, list[str]] = {}
        for split in ("train", "dev", "test"):
            files, count = layout.split_files(source, split), PICTURES[split]
            texts[split] = layout.read_captions(files.captions)[0][: count * len(LANGUAGES)]
            names[split] = layout.read_lines(files.ids)[:count]
            write_array(folder / f"{split}_ims.npy", layout.open_features(files.features)[:count])
            for end, lines in (("caps.txt", texts[split]), ("ids.txt", names[split])):
                write_atomic(folder / f"{split}_{end}", "".join(f"{line}\n" for line in lines).encode())

        def hear(split: str, row: int) -> Samples:
            image, language = divmod(row, len(LANGUAGES))
            return spoken(texts[split][row], LANGUAGES[language], names[split][image])

        add_sound(folder, hear, frame_ms=FRAME_MS, say=say)
        _card(source).write(folder)
        return {"of": source.name, "program": version(), "frame_ms": FRAME_MS}

    return build_whole(root / NAME, make, overwrite=overwrite, say=say)


def spoken(text: str, language: str, picture: str) -> Samples:
    """A name in a language as espeak-ng says it, 16 kHz; the picture's file name decides the voice."""
    rng = rng_for(NAME, language, picture)
    voice = f"{VOICES[language]}+{VARIANTS[rng.integers(len(VARIANTS))]}"
    pace, pitch = (str(rng.integers(*bounds)) for bounds in (PACES, PITCHES))
    command = [PROGRAM, "-v", voice, "-s", pace, "-p", pitch, "--stdout", "--stdin"]
    said = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
    if said.returncode or not said.stdout:
        reason = " ".join(said.stderr.decode(errors="replace").split())[:200]
        raise HarnessError(f"{PROGRAM} -v {voice}: cannot say {text[:60]!r} ({reason}); install its data anew")
    return read_sound(said.stdout, f"{PROGRAM}: {text}")


def version() -> str:
    """What `espeak-ng --version` says of itself."""
    return subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=False).stdout.split(" Data")[0]


def _card(source: Path) -> DatasetCard:
    like = DatasetCard.read(source)
    assert like is not None
    return like.model_copy(
        update={
            "name": NAME,
            "images": dict(PICTURES),
            "dev_images": PICTURES["dev"],
            "folder": NAME,
            "title": "Spoken emoji: emoji pictures, their names in five languages as espeak-ng says them; a stand-in",
            "source": f"{like.source}; {version()}, 12 voices, frames of {FRAME_MS} ms of 40 log-mel bands",
            "if_missing": f"run `harness data build {NAME}`",
        }
    )

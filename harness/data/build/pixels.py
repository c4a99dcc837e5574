"""The pictures themselves beside the features, `{split}_pixels.npy`: for a backbone that reads pictures.

A stage of its own over a finished folder, so a dataset built without pixels gets them later and keeps its features.
A split's file appears whole, by a rename; until then it grows in `{split}_pixels.partial`, where a killed build goes
on.
"""

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from harness.data import layout
from harness.data.build.pictures import Pictures
from harness.data.build.store import SETTINGS, Store, refuse_other_settings
from harness.files import link_or_copy, read_json, write_json

CHUNK = 64  # pictures decoded at once, by as many threads as there are cores
SAVE_SECONDS = 1.0  # a kill loses at most so much work
SAY_SECONDS = 30.0


def add_pixels(out: Path, pictures: Pictures, size: int, *, say: Callable[[str], None]) -> None:
    """Write what is missing of the pixels of a finished dataset, uint8 (images, size, size, 3) a split.

    Pictures are found by `{split}_ids.txt` and cut as CLIP's preprocessing cuts them. The caller keeps others out.

    Raises:
        HarnessError: pixels of another size are there, a picture is missing or unreadable, the disk is full.
    """
    started, made = time.monotonic(), 0
    whole: dict[tuple[str, ...], Path] = {}  # pictures of a split -> their file
    for split in ("train", "dev", "test"):
        files = layout.split_files(out, split)
        if not files.ids.is_file():
            continue
        names = layout.read_lines(files.ids)
        if files.pixels.is_file():
            former = {"pixels": layout.open_pixels(files.pixels).shape[1]}
            refuse_other_settings(out, "a finished dataset", former, {"pixels": size})
        elif twin := whole.get(tuple(names)):
            link_or_copy(twin, files.pixels)  # dev that doubles as test
        else:
            made += _write(files.pixels, names, pictures, size, say)
        shutil.rmtree(files.pixels.with_suffix(".partial"), ignore_errors=True)
        whole[tuple(names)] = files.pixels
    settings = read_json(out / SETTINGS)
    if settings is not None and settings.get("pixels") != size:
        write_json(out / SETTINGS, {**settings, "pixels": size})
    if made:
        rate = made / (time.monotonic() - started)
        mib = sum(path.stat().st_size for path in set(whole.values())) / 2**20
        say(f"{out}: pixels of {size} x {size}, {rate:.0f} images/s, {mib:,.0f} MiB")


def _write(target: Path, names: list[str], pictures: Pictures, size: int, say: Callable[[str], None]) -> int:
    """One split's file; how many pictures this process has put into it."""
    pictures.check(names)
    split, kind = target.stem.split("_")
    stamps = [pictures.stamp(name) for name in names]
    with Store(target.with_suffix(""), {"pixels": size}) as store:
        store.resume(stamps)
        before = store.done
        store.create(split, (len(names), size, size, 3), "uint8", kind=kind)
        saved = said = time.monotonic()
        try:
            with ThreadPoolExecutor() as pool:
                for start in range(before, len(names), CHUNK):
                    rows = slice(start, start + CHUNK)
                    squares = list(pool.map(lambda name: pictures.cut(name, size), names[rows]))
                    store.write(split, start, np.stack(squares), stamps[rows])
                    now = time.monotonic()
                    if now - saved > SAVE_SECONDS:
                        store.save()
                        saved = now
                    if now - said > SAY_SECONDS:
                        say(f"{target.name}: {store.done:,} of {len(names):,} images")
                        said = now
        finally:
            store.save()
    os.replace(store.folder / target.name, target)
    return len(names) - before

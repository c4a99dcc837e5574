"""One vector per image that says which images look alike: what noise that depends on the content is made from."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data import layout
from harness.data.dataset import Dataset, sample_rows
from harness.data.sides import Vectors, open_regions
from harness.data.tokenizer import CACHE_FOLDER
from harness.errors import HarnessError
from harness.files import open_array, write_atomic

# With 128 components the nearest image is among the 10 nearest of the full features for 99.6 % of Flickr8k's and all of
# Twemoji's, and 113,287 images are 58 MB instead of 0.9 GB.
COMPONENTS = 128
_BLOCK_BYTES = 64 * 2**20  # features read at once


def image_descriptors(dataset: Dataset, split: str = "train") -> NDArray[np.float32]:
    """Descriptors of a split's images, (images, d) float32 with rows of length 1, d at most 128; products are cosines.

    The mean of an image's regions, centred over the split, projected on its first principal components. Always of the
    region features, also where a backbone reads pixels, so that every backbone is given the same pairs. Features are
    read block by block from the memory map (0.9 GB of means in memory for MS-COCO's 33 GB); the result is kept in
    folder/.cache. An image whose features are the mean of all is a row of zeros.

    Raises:
        HarnessError: the features are missing, or hold a value that is not finite.
    """
    texts, ids = dataset.texts(split)  # says so when a file is missing
    files = layout.split_files(dataset.folder, split)
    file, regions = files.features, open_regions(files)
    if layout.owners(files, len(regions), ids) is None:
        regions = layout.distinct_images(regions, len(texts), dataset.card.captions_per_image, file)
    path = dataset.folder / CACHE_FOLDER / f"descriptors-{_key(file, regions)}.npy"
    try:
        return np.array(open_array(path))
    except (OSError, HarnessError):
        pass  # no cache yet, or a damaged one: made anew
    result = principal(_means(regions, file), COMPONENTS)
    try:
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, lambda opened: np.save(opened, result))
    except (OSError, HarnessError):
        pass  # a folder that cannot be written, or is full: without a cache
    return result


def principal(vectors: NDArray[np.float32], components: int) -> NDArray[np.float32]:
    """`vectors` (n, D) on their first principal components, rows then of length 1. Overwrites `vectors`."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1):  # sums in one order: the same bytes on one machine whatever its number of threads
        vectors -= vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        _, directions = np.linalg.eigh((vectors.T @ vectors).astype(np.float64))  # ascending
        projected = vectors @ directions[:, ::-1][:, :components].astype(np.float32)
    lengths = np.linalg.norm(projected, axis=1, keepdims=True)
    return (projected / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)


def _means(regions: np.ndarray | Vectors, path: Path) -> NDArray[np.float32]:
    if isinstance(regions, Vectors):
        means = regions.means()
    else:
        means = np.empty((len(regions), regions.shape[2]), dtype=np.float32)
        block = max(1, _BLOCK_BYTES // (4 * regions[0].size))
        for start in range(0, len(regions), block):
            means[start : start + block] = regions[start : start + block].mean(axis=1, dtype=np.float32)
            layout.release(regions)
    if not np.isfinite(means).all():
        image = int(np.flatnonzero(~np.isfinite(means).all(axis=1))[0])
        raise HarnessError(f"{path}: image {image} has features that are not finite; run `harness data check`")
    return means


def _key(path: Path, regions: np.ndarray | Vectors) -> str:
    if isinstance(regions, Vectors):
        digest = hashlib.sha256(f"1 {COMPONENTS} {regions.lengths.tolist()}".encode())
        regions = regions.values
    else:
        digest = hashlib.sha256(f"1 {COMPONENTS} {regions.shape}".encode())
    for label, content in sample_rows(path, regions):
        digest.update(label.encode() + content)
    return digest.hexdigest()[:32]

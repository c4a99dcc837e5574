"""A run's networks as an MLflow model: `mlflow.pyfunc.load_model(...)` scores pairs of features and captions.

The model's folder holds all that it reads: the networks and the vocabulary. Nothing here knows mlflow.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.backbones import Backbone
from harness.backbones.weights import load_networks
from harness.data.tokenizer import splitter
from harness.data.vocabulary import read_reading
from harness.errors import HarnessError

AT_ONCE = 128  # pairs
FORM = '{"regions": (n, R, D) numbers, "captions": (n,) texts}, or "tokens": (n, L) word numbers, zeros behind the last'


class Scorer:
    """Scores of pairs, by the mean of the networks, on the GPU where there is one.

    Args:
        folder: holds model.safetensors, the networks beside it, and vocabulary.json where captions can be read.
    """

    def __init__(self, folder: Path) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._networks: list[Backbone] = [each.to(self._device) for each in load_networks(folder / "model.safetensors")]
        self._reading = read_reading(folder / "vocabulary.json")

    def predict(self, model_input: Mapping[str, Any], params: Mapping[str, Any] | None = None) -> NDArray[np.float32]:
        """(n,) similarities of image i with caption i.

        Args:
            model_input: `regions` (n, R, D), the features of R regions each; `captions` (n,), texts, or in their place
                `tokens` (n, L), word numbers with <start> and <end>, zeros behind the last.
            params: not used; MLflow passes it.

        Raises:
            HarnessError: the input has another form.
        """
        given = {key: np.asarray(value) for key, value in dict(model_input).items()}
        if given.keys() not in ({"regions", "captions"}, {"regions", "tokens"}):
            raise HarnessError(f"model input: has {', '.join(map(str, given)) or 'nothing'}; accepted: {FORM}")
        regions = given["regions"].astype(np.float32)
        rows = self._numbers(given["captions"]) if "captions" in given else list(given["tokens"])
        width = self._networks[0].region_dim
        if regions.ndim != 3 or regions.shape[2] != width or len(regions) != len(rows):
            raise HarnessError(
                f"model input: regions of shape {regions.shape} with {len(rows)} captions; accepted: {FORM}, with "
                f"D = {width} and as many images as captions"
            )
        parts = [slice(start, start + AT_ONCE) for start in range(0, len(rows), AT_ONCE)]
        return np.concatenate([np.empty(0, np.float32), *(self._score(regions[part], rows[part]) for part in parts)])

    def _score(self, regions: NDArray[np.float32], rows: list[Any]) -> NDArray[np.float32]:
        lengths = torch.tensor([max(1, np.count_nonzero(row)) for row in rows])
        tokens = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
        for row, numbers in zip(tokens, rows, strict=True):
            kept = torch.as_tensor(np.asarray(numbers, np.int64)[: len(row)])
            row[: len(kept)] = kept
        largest = self._networks[0].vocabulary_size
        if tokens.min() < 0 or tokens.max() >= largest:
            raise HarnessError(
                f"model input: tokens from {tokens.min()} to {tokens.max()}; accepted: 0 to {largest - 1}"
            )
        images, counts = torch.from_numpy(regions), torch.full((len(rows),), regions.shape[1])
        at = [each.to(self._device) for each in (images, counts, tokens, lengths)]
        with torch.inference_mode():
            scores = [net.pairwise(net.encode_images(*at[:2]), net.encode_texts(*at[2:])) for net in self._networks]
            return torch.stack(scores).mean(dim=0).float().cpu().numpy()

    def _numbers(self, captions: NDArray[Any]) -> list[list[int]]:
        if self._reading is None:
            raise HarnessError("model input: this model has no vocabulary to read captions with; accepted: tokens")
        vocabulary, tokenizer = self._reading
        split = splitter(tokenizer)
        return [vocabulary.ids(split(str(caption))) for caption in captions]


def _load_pyfunc(data_path: str) -> Scorer:
    """What MLflow calls, by this name, with the model's folder of files."""
    return Scorer(Path(data_path))

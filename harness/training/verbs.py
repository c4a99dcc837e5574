"""What a method may ask of the trainer, and nothing more: `Training` of harness/methods/base.py."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.backbones.weights import load_networks
from harness.data.batches import Batch
from harness.distributed import broadcast, rank
from harness.errors import HarnessError
from harness.files import refuse_other_file
from harness.methods import base
from harness.methods.base import Feed, Progress
from harness.seeds import Name, rng_for
from harness.training.feeds import Feeds
from harness.training.network import Network
from harness.training.passes import every_pair
from harness.training.position import Position
from harness.training.state import State

T = TypeVar("T")


class Training:
    """The trainer as a method sees it.

    Args:
        networks: the list that the trainer fills anew at the beginning of a piece.
        state: what the method declared.
        feeds: of the run.
        at: where training stands; moved on by the trainer.
        epochs: of the piece.
        batch_size: pairs of a step, and of a comparison in `every_pair`.
        device: of networks and batches.
        stop: true when the process was asked to end.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        state: State,
        feeds: Feeds,
        at: Position,
        *,
        batch_size: int,
        epochs: int,
        device: torch.device,
        stop: Callable[[], bool],
    ) -> None:
        self.networks, self.state = networks, state
        self.steps_per_epoch = 0  # of the round, once its plan is made
        self._feeds, self._at, self._batch_size, self._device, self._stop = feeds, at, batch_size, device, stop
        self._epochs = epochs

    @property
    def progress(self) -> Progress:
        """Where training stands."""
        return self._at.progress(self.steps_per_epoch, self._epochs)

    @property
    def pairs(self) -> int:
        """Training pairs."""
        return len(self._feeds.reader)

    @property
    def paired_images(self) -> NDArray[np.int64]:
        """(pairs,) the image that each training pair is read with."""
        return self._feeds.reader.paired_image

    def captions(self, split: str) -> int:
        """Captions of a split."""
        return self._feeds.captions(split)

    def every_pair(
        self, network: base.Network, measure: Callable[[Tensor], Tensor], *, raw: bool = False
    ) -> NDArray[np.float32]:
        """`measure` of every training pair among companions; see `passes.every_pair`."""
        return every_pair(
            network.backbone, self._feeds.reader, measure, batch_size=self._batch_size,
            names=self._names("companions"), device=self._device, stop=self._stop, raw=raw,
        )  # fmt: skip

    def finished(self, path: str, sha256: str = "") -> list[Network]:
        """The networks of a finished run, from its model.safetensors.

        Raises:
            HarnessError: no such file, another than is meant, or a network for other features than these pairs have.
        """
        refuse_other_file(path, sha256, what=path)
        like = self.networks[0]
        backbones = load_networks(Path(path))
        for backbone in backbones:
            for what in ("region_dim", "vocabulary_size"):
                found, own = getattr(backbone, what), getattr(like.backbone, what)
                if found != own:
                    raise HarnessError(
                        f"{path}: its network has {what} = {found}; accepted: {own}, that of the data set here; "
                        "take a run on this data set"
                    )
        return [Network(backbone.to(self._device), {}, like.schedule, like.machine) for backbone in backbones]

    def agreed(self, function: Callable[[], T]) -> T:
        """What `function` gives on the first process, on all of them."""
        value: T = broadcast(function() if rank() == 0 else None)
        return value

    def read(self, captions: NDArray[np.int64], images: NDArray[np.int64] | None = None, split: str = "train") -> Batch:
        """This process's share of a batch of these rows, without augmentation."""
        return self._feeds.read(Feed(captions, images, split)).to(self._device)

    def rng(self, *names: Name) -> np.random.Generator:
        """A generator named by seed, position and `names`."""
        return rng_for(*self._names("method", *names), self._at.step)

    def _names(self, *names: Name) -> tuple[Name, ...]:
        return (*names, self._feeds.seed, self._at.piece, self._at.epoch, self._at.round)

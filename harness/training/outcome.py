"""What a finished network says of the test queries and of its own training pairs, for the ledger."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.backbones import Backbone
from harness.data import PairBatches
from harness.distributed import rank, total_, world
from harness.evaluation.scoring import evaluating
from harness.files import write_atomic
from harness.methods.softmax import matching
from harness.seeds import rng_for
from harness.training.pairs import TrainingPairs

TAU = 0.05  # temperature of `match` for a method that has none: the one of CRCL, RCL and InfoNCE here


def score_pairs(
    backbone: Backbone, pairs: TrainingPairs, batches: PairBatches, device: torch.device, *, tau: float | None
) -> dict[str, np.ndarray]:
    """Every training pair as the network sees it, in evaluation mode and without augmentation.

    Returns:
        `similarity` float32 (pairs,): of caption i and the image it is paired with. `match` float32 (pairs,):
        (P_ii + Q_ii) / 2 among its companions in one fixed shuffle of the pairs, what CRCL's labels estimate.
        `clean` bool (pairs,): the truth.

    SAF and SGR compare a whole batch to read its diagonal: about the forward pass of one epoch. Of several training
    processes each takes some of the batches.
    """
    similarity, match = (np.zeros(len(pairs), dtype=np.float32) for _ in range(2))
    order = rng_for("companions", batches.seed).permutation(len(pairs))
    whole = max(1, len(order) // batches.batch_size)
    with evaluating(backbone):
        for rows in np.array_split(order, whole)[rank() :: world()]:
            batch = batches.read(rows).to(device)
            images = backbone.encode_images(batch.regions, batch.region_lengths)
            texts = backbone.encode_texts(batch.tokens, batch.lengths)
            scores = backbone.similarity(images, texts).float()
            p, q = matching(scores, tau or TAU)
            similarity[rows] = scores.diagonal().cpu().numpy()
            match[rows] = ((p.diagonal() + q.diagonal()) / 2).cpu().numpy()
    similarity, match = (total_(torch.from_numpy(values)).numpy() for values in (similarity, match))
    return {"similarity": similarity, "match": match, "clean": pairs.clean}


def write_array(path: Path, values: np.ndarray) -> None:
    """A .npy file, atomically."""
    write_atomic(path, lambda file: np.save(file, values))


def write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """An .npz file of named arrays, compressed, atomically."""
    write_atomic(path, lambda file: np.savez_compressed(file, **arrays))

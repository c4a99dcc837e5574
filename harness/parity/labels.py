"""CRCL's labels in lockstep with the released code: the same scores step for step, the labels of all pairs at each
epoch's end.

`crcl_labels.npz` has, for each case k of `crcl_labels.json`:

    ck_sims      (steps, B, B)     the scores of each step, images x captions, the pairs on the diagonal
    ck_rows      (steps, B)        the pairs of each step, from 0; -1 at the end of a batch that is not full
    ck_piece     (steps,)          the piece that each step is of, from 0
    ck_epoch     (steps,)          the epoch within its piece, from 0
    ck_losses    (steps,)          the loss of each step
    ck_labels    (epochs, pairs)   what is stored of every pair after each epoch; 1 before the first

and the JSON its tau, beta, epsilon, frozen_epochs and complementary_weight. The labels are never set back to the
released ones on the way, so an error of one step is seen in all that follow.
"""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from harness.methods.base import Progress
from harness.methods.crcl import CRCL
from harness.parity.reading import Comparison, Kind, cases, deviation


def _labels(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        method = CRCL(
            beta=case["beta"],
            tau=case["tau"],
            epsilon=case["epsilon"],
            freeze_epochs=case["frozen_epochs"],
            complementary_weight=case["complementary_weight"],
        )
        labels = torch.ones(arrays["labels"].shape[1])
        places = np.stack([arrays["piece"], arrays["epoch"]], axis=1)
        ends = np.append((places[1:] != places[:-1]).any(axis=1), True)  # the last steps of the epochs
        if ends.sum() != len(arrays["labels"]):
            raise ValueError(f"labels of {len(arrays['labels'])} epochs, and steps of {ends.sum()}")
        after, worst = iter(arrays["labels"]), 0.0
        for step, ((piece, epoch), end) in enumerate(zip(places.tolist(), ends, strict=True)):
            rows = torch.from_numpy(arrays["rows"][step])
            rows = rows[rows >= 0].long()
            scores = torch.from_numpy(arrays["sims"][step])[: len(rows), : len(rows)]
            at = Progress(piece, epoch, step, len(places))
            loss = method.loss(scores, SimpleNamespace(pair_ids=rows), {"label": labels}, at)["loss"]
            worst = max(worst, deviation(loss, arrays["losses"][step]))
            if end:
                name = f"case {case['case']}: piece {piece}, epoch {epoch}: "
                yield Comparison(name + "losses", worst)
                yield Comparison(name + "labels", deviation(labels, next(after)))
                worst = 0.0


KINDS: dict[str, Kind] = {"crcl_labels.npz": Kind(_labels, described=True)}

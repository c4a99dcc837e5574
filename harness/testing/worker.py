"""One process, or one of two under torchrun, that trains a toy run in float64 and keeps what comes out.

    python -m harness.testing.worker RUN OUT

In float32, a bias before a normalisation has a gradient of rounding errors alone, which Adam divides by their own size:
two ways to add up the same numbers end in different weights. In float64 those errors are far below Adam's epsilon.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from harness.data import layout
from harness.distributed import joined, rank
from harness.errors import HarnessError
from harness.spec import RunSpec
from harness.testing.toy import toy_trainer


def main(run: str, out: str) -> None:
    torch.set_default_dtype(torch.float64)
    gather = layout.gather
    layout.gather = lambda regions, images: gather(regions, images).astype(np.float64)
    with joined(), TemporaryDirectory(prefix="harness-testing-") as folder:
        try:
            trainer = toy_trainer(RunSpec.from_table(json.loads(run)), Path(folder))
            trainer.fit()
        except HarnessError as error:
            sys.exit(f"error: {error}")
        found = {
            f"network {number}, weight": network.backbone.state_dict()
            for number, network in enumerate(trainer.networks)
        }
        found["state"] = {name: values.whole() for name, values in trainer.state.items()}
        if rank() == 0:
            torch.save(found, out)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What is measured: the sizes of one training step, and how often it is taken."""

from dataclasses import dataclass, field

from harness.training.machine import Machine


@dataclass(frozen=True)
class Sizes:
    """Everything that a step's cost depends on; two measurements are compared only where these are equal."""

    batch_size: int = 128
    regions: int = 36
    region_dim: int = 2048
    embed_dim: int = 1024
    word_dim: int = 300
    sim_dim: int = 256  # SAF and SGR
    words: int = 8500  # in the vocabulary
    images: int = 2000  # in the feature file that the reader reads from, 295 kB each
    method: str = "infonce"
    region_rate: float = 0.0  # share of regions that the timed batch has lost, as a training batch has by augmentation


PAPER = Sizes()
SMALL = Sizes(16, 6, 32, 16, 8, 8, 100, 100)  # a second, for trying the command

# The released code, patched to run on a CPU, at PAPER's sizes: CPU seconds of a step on one thread times the float32
# matmul rate measured in the same run, and peak memory over the start (docs/speed.md). Backbone -> (GFLOP, GB).
RELEASED = {"vse_infinity": (420.0, 0.65), "saf": (2520.0, 5.2), "sgr": (3980.0, 8.3)}


@dataclass(frozen=True)
class Plan:
    """One measurement: of which backbone, at which sizes, on which machine."""

    backbone: str
    sizes: Sizes = PAPER
    steps: int = 5
    warmup: int = 2  # the first steps pay for memory, caches and AdamW's state
    recompute: bool = False  # SAF and SGR: keep a chunk's scores alone for the backward pass
    operations: int = 10  # rows of the profile
    machine: Machine = field(default_factory=lambda: Machine("cpu"))

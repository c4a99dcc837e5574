"""One run: everything that its numbers depend on, and nothing else (no path, device, worker or precision)."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from harness.errors import HarnessError
from harness.spec.catalogue import KINDS
from harness.spec.component import Component
from harness.spec.facts import facts
from harness.spec.marks import AddedLater, neutral_values

STORED = "stored"  # context of a table that an earlier version may have written
Selection = Literal["best_dev_rsum_of_last_piece", "best_dev_rsum", "last"]


Share = Annotated[float, Field(ge=0, lt=1)]


class Strict(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _completed(cls, table: Any, info: ValidationInfo) -> Any:
        return neutral_values(cls.model_fields) | table if info.context == STORED and isinstance(table, dict) else table


class Schedule(Strict):
    """How the network is optimised. The defaults are those of CRCL's released code for Flickr30K."""

    epochs: Annotated[int, Field(ge=1)] | None = None  # a method with pieces (CRCL) brings its own lengths
    batch_size: Annotated[int, Field(ge=2)] = 128
    optimizer: Literal["adamw", "adam"] = "adamw"
    lr: Annotated[float, Field(gt=0)] = 5e-4
    lr_decay_every: Annotated[int, Field(ge=1)] = 15  # epochs of a piece; the clock restarts with each piece
    lr_decay_factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    weight_decay: Annotated[float, Field(ge=0)] = 0.01  # torch's default for AdamW, which the released code keeps
    grad_clip: Annotated[float, Field(gt=0)] = 2.0  # norm over all parameters
    # Those of the moments and epsilon of the optimiser, torch's; fine-tuning CLIP the releases have .9, .98 and 1e-6.
    betas: Annotated[tuple[Share, Share], AddedLater(neutral=(0.9, 0.999))] = (0.9, 0.999)
    eps: Annotated[float, Field(gt=0), AddedLater(neutral=1e-8)] = 1e-8
    # Steps of a piece over which the rate rises in a straight line, the first having 1 / warmup_steps of it.
    warmup_steps: Annotated[int, Field(ge=0), AddedLater(neutral=0)] = 0

    def decay_at(self, epoch: int) -> float:
        """What a learning rate is multiplied by in an epoch of a piece."""
        return self.lr_decay_factor ** (epoch // self.lr_decay_every)

    def warm_at(self, step: int) -> float:
        """What it is multiplied by besides, in a step of a piece."""
        return min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0


class Evaluation(Strict):
    """Which epoch's network is kept, and on how many dev images that is decided. Test never selects."""

    selection: Selection = "best_dev_rsum_of_last_piece"  # the rule of CRCL's released code
    dev_images: Annotated[int, Field(ge=1)] | None = None  # None: what the dataset's card says
    protocols: list[str] | None = None  # None: what the dataset's card says


class Augmentation(Strict):
    """What training batches are changed by; the rates are those of CRCL's released code. Evaluation never is."""

    token_rate: Annotated[float, Field(ge=0, le=1)] = 0.2
    region_rate: Annotated[float, Field(ge=0, lt=1)] = 0.2


class RunSpec(Strict):
    """One run. Its fingerprint names its cell."""

    dataset: str
    noise: Component
    backbone: Component
    method: Component
    augmentation: Augmentation | None = None  # off: of the methods here only CRCL was published with it
    schedule: Schedule = Schedule()
    evaluation: Evaluation = Evaluation()
    seed: Annotated[int, Field(ge=0)] = 0
    # Train on the truly clean pairs alone: what a method would reach that told right pairs from wrong without fault.
    oracle: Annotated[bool, AddedLater(neutral=False)] = False

    def table(self) -> dict[str, Any]:
        """The run as nested plain values; `from_table` reads it back."""
        return self.model_dump(mode="json")

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> Self:
        """A run from what `table` gave, as stored in a cell: keywords added since have their neutral values."""
        components = {kind: _stored(kind, table[kind]) for kind in KINDS}
        return cls.model_validate({**table, **components}, context=STORED)


def _stored(kind: str, table: dict[str, Any]) -> Component:
    """A component from the flat table that a finished run was stored with."""
    try:
        neutral = facts(kind, table["name"]).neutral
    except HarnessError:  # it has gone, or is a name like "sgraf" that stands for several: still to be read
        neutral = {}
    parameters = {key: value for key, value in table.items() if key != "name"}
    return Component(kind=kind, name=table["name"], parameters=neutral | parameters)

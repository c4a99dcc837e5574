"""A backbone with its optimisers, and the verbs that a method trains it by.

Of several processes each encodes its share of a batch's pairs, gets all images, and scores them against its own
captions, which is where SAF and SGR spend their time. The columns are put together and every process computes the same
loss on (B, B). Its gradients are those of its own part, and their sum over processes is the gradient.

Not `DistributedDataParallel`: that wraps one call of a network, where there are several; its mean is not the sum; and a
parameter without a gradient needs its search. What it would give is the exchange during the backward pass; here it
follows, in one piece.

Differs from a process alone in: dropout draws of each process's own, so an image has another mask for each one's
captions in the part that SAF and SGR apply to images as they compare.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from harness.backbones import Backbone
from harness.backbones.base import Encoded, twice_differentiable
from harness.data.batches import Batch
from harness.distributed import gather, share, total_, world
from harness.errors import HarnessError
from harness.evaluation.scoring import evaluating
from harness.methods.base import Part
from harness.spec import Schedule
from harness.training.machine import Machine

MAIN, AHEAD = "main", "ahead"
OPTIMIZERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}


class Network:
    """One trained network.

    Args:
        backbone: on its device.
        parts: parameters with an optimiser of their own, by name; what is left of the backbone is "main".
        schedule: optimiser, weight decay and clipping.
        machine: precision and compilation.
    """

    def __init__(self, backbone: Backbone, parts: Mapping[str, Part], schedule: Schedule, machine: Machine) -> None:
        self.backbone, self.schedule, self.machine = backbone, schedule, machine
        device = next(backbone.parameters()).device
        self.declared = dict(parts)
        self.parts = {name: part.module(backbone).to(device) for name, part in parts.items()}
        inside = set(backbone.modules())
        self.beside = {name: module for name, module in self.parts.items() if module not in inside}
        self._forward = _Forward(backbone)
        self.replaced: dict[str, Tensor] | None = None  # the weights and buffers inside `ahead`
        self._compiled = machine.compiled(self._raw_columns)
        self.renew_optimizers()

    def renew_optimizers(self) -> None:
        """Optimisers as at the beginning."""
        owned = {id(p) for module in self.parts.values() for p in module.parameters()}
        self._parameters = {MAIN: [p for p in self.backbone.parameters() if id(p) not in owned]}
        self._parameters |= {name: list(module.parameters()) for name, module in self.parts.items()}
        self.optimizers: dict[str, torch.optim.Optimizer] = {MAIN: self._optimizer_of_main()}
        for name, part in self.declared.items():
            self.optimizers[name] = OPTIMIZERS[part.optimizer](
                self._parameters[name], lr=part.lr, weight_decay=part.weight_decay, fused=True
            )

    def set_rate(self, rate: float, decay: float) -> None:
        """The learning rate of the main part; the other parts' own rates times `decay`."""
        rates = {MAIN: rate, **{name: part.lr * decay for name, part in self.declared.items()}}
        for name, own in rates.items():
            for group in self.optimizers[name].param_groups:
                group["lr"] = own

    @property
    def rate(self) -> float:
        """The learning rate of the main part."""
        return float(self.optimizers[MAIN].param_groups[0]["lr"])

    def train(self) -> None:
        """Training mode, of the parts too."""
        for module in (self.backbone, *self.beside.values()):
            module.train()

    # -- verbs -----------------------------------------------------------------------------------------------------

    def scores(self, batch: Batch, *, raw: bool = False, twice: bool = False) -> Tensor:
        """(B, B) similarities of a batch, rows images, whole on every process.

        raw: before the activation. twice: by formulations that can be differentiated twice, slower ones.
        """
        with self._autocast(), twice_differentiable(twice):
            plain = twice or self.replaced is not None or not self.backbone.training
            columns = (self._raw_columns if plain else self._compiled)(batch)
            return self._whole(columns if raw else self.backbone.activate(columns), len(batch))

    def encode(self, batch: Batch) -> tuple[Encoded, Encoded]:
        """The batch's images and texts, embedded, all of them on every process."""
        with self._autocast():
            images, texts = self._encode(batch)
            return _gathered(images, len(batch)), _gathered(texts, len(batch))

    def similarity(self, images: Encoded, texts: Encoded, *, raw: bool = False) -> Tensor:
        """(images, texts) similarities."""
        with self._autocast():
            count = len(texts.lengths)
            alone = world() == 1 or count < world()
            columns = self._call("compare", images, texts if alone else texts.rows(share(count)))
            columns = columns if raw else self.backbone.activate(columns)
            return columns if alone else self._whole(columns, count)

    def within(self, encoded: Encoded, *, raw: bool = False) -> Tensor:
        """(n, n) similarities of images among images, or of texts among texts."""
        with self._autocast():
            result: Tensor = self._call("within", encoded, raw=raw)
            return result

    def pairwise(self, images: Encoded, texts: Encoded, *, raw: bool = False) -> Tensor:
        """(n,) similarities of image i and text i alone."""
        with self._autocast():
            result: Tensor = self._call("pairwise", images, texts, raw=raw)
            return result

    def learn(self, loss: Tensor, part: str | Sequence[str] = MAIN, *, lr: float | None = None) -> None:
        """One optimiser step of a part, or of several, on a loss that all processes have computed alike; no other part
        is touched, and each is clipped by the norm of its own gradient.

        lr: in place of the schedule's rate, for this step.
        """
        names = [part] if isinstance(part, str) else list(part)
        for name in names:
            self.optimizers[name].zero_grad(set_to_none=True)
        backward(loss, [p for name in names for p in self._parameters[name]])
        for name in names:
            torch.nn.utils.clip_grad_norm_(self._parameters[name], self.schedule.grad_clip)
            with _rate(self.optimizers[name], lr):
                self.optimizers[name].step()

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Evaluation mode without gradients; what comes out may enter a loss as a constant."""
        with evaluating(self.backbone, *self.beside.values()):
            yield

    @contextmanager
    def ahead(self, loss: Tensor, rule: Literal["sgd", "optimizer"] = "sgd") -> Iterator[None]:
        """Inside, the network computes with the weights of one step on `loss`; afterwards with its own.

        sgd: w - lr * gradient, unclipped, differentiable with respect to the weights of all parts. `loss` comes from
        scores with `twice`. optimizer: a step by an optimiser like the main part's, unclipped, whose moments are those
        of the losses given here; a constant. Buffers, batch statistics among them, are put back too.

        Raises:
            HarnessError: several processes train this run.
        """
        if world() > 1:
            raise HarnessError(
                f"a step ahead with {world()} processes: its gradient is not exchanged between processes; accepted: "
                "one process; start without --processes"
            )
        weights = self._one_step_on(loss) if rule == "sgd" else self._after_learning(loss)
        buffers = {name: buffer.clone() for name, buffer in self.backbone.named_buffers()}
        self.replaced = {**buffers, **weights}
        try:
            yield
        finally:
            self.replaced = None

    # -- how -------------------------------------------------------------------------------------------------------

    def _main(self) -> dict[str, Tensor]:
        """The main part's parameters that learn, by their names in the backbone."""
        main = {id(p) for p in self._parameters[MAIN]}
        return {name: p for name, p in self.backbone.named_parameters() if id(p) in main and p.requires_grad}

    def _one_step_on(self, loss: Tensor) -> dict[str, Tensor]:
        named = self._main()
        gradients = torch.autograd.grad(loss, list(named.values()), create_graph=True, allow_unused=True)
        stepped = zip(named.items(), gradients, strict=True)
        return {name: value if g is None else value - self.rate * g for (name, value), g in stepped}

    def _after_learning(self, loss: Tensor) -> dict[str, Tensor]:
        named = self._main()
        before = {name: value.detach().clone() for name, value in named.items()}
        optimizer = self._ahead_optimizer()
        optimizer.zero_grad(set_to_none=True)
        backward(loss, list(named.values()))
        optimizer.step()
        after = {name: value.detach().clone() for name, value in named.items()}
        with torch.no_grad():
            for name, value in named.items():
                value.copy_(before[name])
        return after

    def _ahead_optimizer(self) -> torch.optim.Optimizer:
        """The optimiser of steps ahead, made when it is first asked for; its rate is the main part's."""
        if AHEAD not in self.optimizers:
            self.optimizers[AHEAD] = self._optimizer_of_main()
        for group in self.optimizers[AHEAD].param_groups:
            group["lr"] = self.rate
        return self.optimizers[AHEAD]

    def _optimizer_of_main(self) -> torch.optim.Optimizer:
        schedule = self.schedule
        optimizer: torch.optim.Optimizer = OPTIMIZERS[schedule.optimizer](
            self._parameters[MAIN], lr=schedule.lr, betas=schedule.betas, eps=schedule.eps,
            weight_decay=schedule.weight_decay, fused=True,
        )  # fmt: skip
        return optimizer

    def _autocast(self) -> Any:
        """In training alone: what is only looked at is computed in float32, as evaluation is."""
        if not self.backbone.training:
            return nullcontext()
        return self.machine.autocast(next(self.backbone.parameters()).device)

    def _call(self, verb: str, *arguments: Any, **keywords: Any) -> Any:
        """A function of the backbone, with the weights of `ahead` inside it."""
        if self.replaced is None:
            return getattr(self.backbone, verb)(*arguments, **keywords)
        replaced = {f"backbone.{name}": value for name, value in self.replaced.items()}
        return functional_call(self._forward, replaced, (verb, *arguments), keywords)

    def _encode(self, batch: Batch) -> tuple[Encoded, Encoded]:
        """This process's share of the batch."""
        images = self._call("encode_images", batch.regions, batch.region_lengths)
        return images, self._call("encode_texts", batch.tokens, batch.lengths)

    def _raw_columns(self, batch: Batch) -> Tensor:
        """(images, own captions)."""
        images, texts = self._encode(batch)
        columns: Tensor = self._call("compare", _gathered(images, len(batch)), texts)
        return columns

    def _whole(self, columns: Tensor, count: int) -> Tensor:
        """(images, all captions) of columns that each process has its share of; activated before they travel, so that
        each is rounded as where one process has them."""
        return columns if world() == 1 else gather(columns.T, count).T

    # -- checkpoint ------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimisers, and the parts that stand beside the backbone."""
        return {
            "weights": self.backbone.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "parts": {name: module.state_dict() for name, module in self.beside.items()},
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.backbone.load_state_dict(saved["weights"])
        for name, state in saved["optimizers"].items():
            optimizer = self._ahead_optimizer() if name == AHEAD else self.optimizers[name]
            optimizer.load_state_dict(state)
        for name, module in self.beside.items():
            module.load_state_dict(saved["parts"][name])


@contextmanager
def _rate(optimizer: torch.optim.Optimizer, lr: float | None) -> Iterator[None]:
    """Inside, another learning rate; None: its own."""
    usual = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] if lr is None else lr
    yield
    for group, rate in zip(optimizer.param_groups, usual, strict=True):
        group["lr"] = rate


class _Forward(nn.Module):
    """The backbone's functions as one module's forward, whose weights `functional_call` can replace."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, verb: str, *arguments: Any, **keywords: Any) -> Any:
        return getattr(self.backbone, verb)(*arguments, **keywords)


def _gathered(encoded: Encoded, count: int) -> Encoded:
    """All rows, of which this process has its share."""
    if world() == 1:
        return encoded
    return encoded._replace(values=gather(encoded.values, count), lengths=gather(encoded.lengths, count))


def backward(loss: Tensor, parameters: list[Tensor] | list[nn.Parameter]) -> None:
    """The gradient of `loss` with respect to `parameters`, on every process; all have computed the loss alike.

    A parameter that got none on this process got none on the others: they do the same.
    """
    learning = [p for p in parameters if p.requires_grad]
    if world() == 1:
        loss.backward(inputs=learning)
        return
    (loss / world()).backward(inputs=learning)
    gradients = [p.grad for p in learning if p.grad is not None]
    if not gradients:
        return
    summed = total_(torch.cat([gradient.flatten() for gradient in gradients]))
    for gradient, part in zip(gradients, summed.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))

"""Methods that use each verb of the contract, as the rivals do, and methods that break it.

None of them is of any use; each is as short as what it tries.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from harness.methods.base import Feed, Method, Part, Phase, State, Training
from harness.methods.hinge import hinge_sum
from harness.methods.infonce import InfoNCE
from harness.methods.softmax import log_matching


def nce(scores: Tensor, tau: float = 0.2) -> Tensor:
    """(B,)"""
    log_p, log_q = log_matching(scores, tau)
    return -(log_p.diagonal() + log_q.diagonal())


def small_half(cost: np.ndarray) -> Tensor:
    """1 where the cost is below its median."""
    return torch.from_numpy((cost <= np.median(cost)).astype(np.float32))


class Swap(Method):
    """Two networks, each trained on the division that the other has made; as NCR and BiCro."""

    networks = rounds = 2
    label_state = "clean.0"

    def __init__(self, *, warm: Annotated[int, Field(ge=0)] = 1) -> None:
        self.warm = warm

    def declare_state(self) -> dict[str, float]:
        return {"clean.0": 1.0, "clean.1": 1.0}

    def plan(self, training: Training) -> Sequence[Feed]:
        progress = training.progress
        if progress.epoch < self.warm:
            return []
        if progress.round == 0:
            for number, network in enumerate(training.networks):
                cost = training.every_pair(network, nce)
                training.state[f"clean.{number}"].copy_(training.agreed(lambda cost=cost: small_half(cost)))
        clean = training.state[f"clean.{1 - progress.round}"].whole().numpy()
        return [Feed(np.flatnonzero(clean)), Feed(np.flatnonzero(clean == 0))]

    def step(self, training: Training, batch: Any, *others: Any) -> dict[str, Tensor]:
        me = training.progress.round
        network, peer = training.networks[me], training.networks[1 - me]
        values = {"loss": nce(network.scores(batch)).mean()}
        network.learn(values["loss"])
        if others and others[0] is not None:
            with network.looking(), peer.looking():
                images, texts = peer.encode(others[0])
                target = (peer.similarity(images, texts) + network.scores(others[0])).softmax(dim=1)
                weight = training.state["clean.0"][others[0].pair_ids].mean() + peer.within(images).mean()
            values["loss_noisy"] = ((network.scores(others[0]) - target) ** 2).mean() * (1 + weight)
            network.learn(values["loss_noisy"])
        return {name: value.detach() for name, value in values.items()}


class Parts(Method):
    """A part that stands beside the network and one that is its head, each with an optimiser; as L2RM and MSCN."""

    def parts(self) -> Mapping[str, Part]:
        return {
            "cost": Part(lambda backbone: nn.Linear(1, 1), lr=1e-2),
            "head": Part(_new_head, lr=1e-3, optimizer="adamw", weight_decay=0.1),
        }

    def fits(self, backbone: type, run: Any) -> str:
        return "" if backbone.__name__ in ("SAF", "SGR") else "the score has no head"

    def step(self, training: Training, batch: Any, *others: Any) -> dict[str, Tensor]:
        network = training.networks[0]
        with network.looking():
            costs = 1 - network.scores(batch)
        cost = network.parts["cost"](costs[..., None]).square().mean()
        network.learn(cost, "cost")
        network.learn(hinge_sum(network.scores(batch), 0.2), "head", lr=5e-3)
        loss = nce(network.scores(batch)).mean() + cost.detach()
        network.learn(loss)
        return {"loss": loss.detach(), "cost": cost.detach()}


def _new_head(backbone: Any) -> nn.Module:
    backbone.head = nn.Sequential(nn.Linear(backbone.sim_dim, 4), nn.Tanh(), nn.Linear(4, 1))
    head: nn.Module = backbone.head
    return head


class Ahead(Method):
    """A warm-up with batches of its own size, then a head that is trained through a step of the network; as MSCN."""

    def phases(self, epochs: int | None, steps_per_epoch: int) -> Sequence[Phase]:
        warm = Phase(1, batch_size=8, lr=1e-2)
        return [warm, Phase((epochs or 2) - 1, reinitialise=False, fresh_optimizer=True)]

    def parts(self) -> Mapping[str, Part]:
        return {"meta": Part(_new_head, lr=1e-3)}

    def plan(self, training: Training) -> Sequence[Feed]:
        if training.progress.piece == 0:
            return []
        chosen = training.rng("meta").permutation(10)[:7]
        return [Feed(np.arange(training.pairs)), Feed(np.sort(chosen), split="dev", drop_last=True)]

    def step(self, training: Training, batch: Any, *others: Any) -> dict[str, Tensor]:
        network = training.networks[0]
        values = {}
        if others and others[0] is not None:
            with network.ahead(nce(network.scores(batch, twice=True)).mean()):
                outer = nce(network.scores(others[0])).mean()
                network.learn(outer, "meta")
            values["outer"] = outer.detach()
        loss = nce(network.scores(batch)).mean()
        network.learn(loss)
        return {"loss": loss.detach(), **values}


class Siamese(Method):
    """A weight from the losses before and after a step that is not kept; other companions are read; as NPC."""

    def step(self, training: Training, batch: Any, *others: Any) -> dict[str, Tensor]:
        network = training.networks[0]
        bank = training.read((batch.pair_ids.numpy() + 3) % training.pairs, images=batch.pair_ids.numpy() // 2)
        with torch.no_grad():
            before = nce(network.scores(bank))
        with network.ahead(nce(network.scores(batch)).mean(), rule="optimizer"), torch.no_grad():
            after = nce(network.scores(bank))
        loss = ((before / after).tanh() * nce(network.scores(batch))).mean()
        network.learn(loss)
        return {"loss": loss.detach()}


class Averages(Method):
    """State written in every step and averaged at the end of an epoch; similarities within a modality; as GSC."""

    label_state = "target"

    def declare_state(self) -> dict[str, float]:
        return {"match": 1.0, "target": 1.0}

    def step(self, training: Training, batch: Any, *others: Any) -> dict[str, Tensor]:
        network, rows = training.networks[0], batch.pair_ids
        images, texts = network.encode(batch)
        scores = network.similarity(images, texts, raw=True)
        costs = nce(scores)
        topology = (network.within(images) - network.within(texts)).square().mean()
        pairs = network.pairwise(images, texts).mean()
        loss = (training.state["target"][rows] * costs).mean() + 0.1 * topology - 0.01 * pairs
        network.learn(loss)
        training.state["match"][rows] = (-costs).exp().detach().float()
        return {"loss": loss.detach()}

    def close_epoch(self, training: Training) -> None:
        state = training.state
        state["target"].copy_(0.7 * state["match"].whole() + 0.3 * state["target"].whole())


# -- broken ---------------------------------------------------------------------------------------------------------


class Remembers(InfoNCE):
    """Keeps a running mean as an attribute: in no checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = 0.0

    def step(self, training: Training, batch: Any, *others: Any) -> dict[str, Tensor]:
        network = training.networks[0]
        costs = nce(network.scores(batch))
        self.mean = 0.9 * self.mean + 0.1 * costs.mean().item()
        loss = (costs * (costs < self.mean + 1)).mean()
        network.learn(loss)
        return {"loss": loss.detach()}


class Unnamed(InfoNCE):
    """Draws from a global generator."""

    def plan(self, training: Training) -> Sequence[Feed]:
        return [Feed(np.random.permutation(training.pairs)[:12])]


class WritesOthers(InfoNCE):
    """Writes the state of pairs that are not in the batch."""

    def declare_state(self) -> dict[str, float]:
        return {"seen": 0.0}

    def step(self, training: Training, batch: Any, *others: Any) -> dict[str, Tensor]:
        training.state["seen"].copy_(training.state["seen"].whole() + 1)
        return super().step(training, batch, *others)


class NotFinite(InfoNCE):
    """A standard deviation of equal scores has no gradient."""

    def loss(self, scores: Tensor, batch: Any, state: State, progress: Any) -> dict[str, Tensor]:
        return {"loss": nce(scores).mean() / scores.std()}


class Shares(InfoNCE):
    """Learns from its own share of a batch: two processes make another step than one."""

    def step(self, training: Training, batch: Any, *others: Any) -> dict[str, Tensor]:
        network = training.networks[0]
        loss = nce(network.scores(batch))[: len(batch.regions)].mean()
        network.learn(loss)
        return {"loss": loss.detach()}


class NeedsNoisy(Method):
    """Takes for granted that a second feed has pairs."""

    def plan(self, training: Training) -> Sequence[Feed]:
        return [Feed(np.arange(12)), Feed(np.arange(12, 22))]

    def step(self, training: Training, batch: Any, *others: Any) -> dict[str, Tensor]:
        network = training.networks[0]
        loss = nce(network.scores(batch)).mean() + nce(network.scores(others[0])).mean()
        network.learn(loss)
        return {"loss": loss.detach()}

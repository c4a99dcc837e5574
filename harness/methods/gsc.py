"""GSC: geometrical structure consistency.

Source: Zhao et al., "Mitigating Noisy Correspondence by Geometrical Structure Consistency Learning", CVPR 2024;
released code MediaBrain-SJTU/GSC.

Where pairs match, images resemble each other as their captions do. A label y_i in [0, 1] for every pair weighs

    L = mean_i y_i (NCE of row i + NCE of column i) / 2                 of scores S, at temperature tau
      + gamma mean_i y_i NCE of row i of G                              at temperature tau_structure
    G = U V^T,   U_ai = y_i sigmoid(image a against image i),   V_ai = y_i sigmoid(caption a against caption i)

Each step stores, without gradient, what it sees of its pairs, P and Q being the probabilities of rows and columns of S:

    pred_i = (P_ii + Q_ii) / 2,   topo_i = cos(U_i, V_i)

At the end of an epoch two Gaussians are fitted on topo of all pairs, brought to [0, 1]; g_i is the probability of the
higher one, and the labels of the next epoch are

    topo_target <- beta g + (1 - beta) topo_target,   pred_target <- beta pred + (1 - beta) pred_target
    y = min(topo_target, pred_target)

All begin at 1, so the first epoch counts every pair in full: there is no warm-up and no pass over all pairs.

`networks = 2` is GSC+: two networks in one loop, each trained on the labels of the other; their similarities are
averaged at test time.

Differs from the released code in:
  1. Log-softmax in the place of exponentials: rows of G sum up to B, and exp overflows at B = 128.
  2. The targets are part of the checkpoint; there, a resumed run begins with targets of 1.
  3. SGR's comparison of images among images: see backbones/sgraf.py. Other backbones compare their embeddings.

Hyperparameters (released scripts; lr 2e-4, 60 epochs, batch 128, clip 2, Adam, beta 0.7, tau 0.07): lr x 0.2 every 15,
20, 15 epochs on Flickr30K, MS-COCO, CC152K, gamma 0.01 on the first and the last; the script of MS-COCO leaves gamma at
1. GSC+: 60, 30, 60 epochs, every 15, 15, 20, gamma 0.01, 0.05, 0.02. The repository calls itself "not the final
release".
"""

from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cosine_similarity

from harness.methods.base import Method, Training, square
from harness.methods.mixtures import fit_gaussians, normalised
from harness.methods.softmax import matching, pair_costs

STATE = ("label", "pred", "topo", "pred_target", "topo_target")


def structures(within_images: Tensor, within_texts: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(U, V), each (B, B), from raw comparisons among images and among captions (B, B) and labels (B,)."""
    return torch.sigmoid(within_images) * labels, torch.sigmoid(within_texts) * labels


def contrastive_loss(scores: Tensor, labels: Tensor, tau: float) -> Tensor:
    """The first term."""
    return (labels * pair_costs(scores, tau) / 2).mean()


def structure_loss(u: Tensor, v: Tensor, labels: Tensor, tau: float) -> Tensor:
    """The second term, before gamma."""
    return (labels * -((u @ v.T) / tau).log_softmax(dim=1).diagonal()).mean()


def observe(scores: Tensor, u: Tensor, v: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """(pred, topo), each (B,), without gradient."""
    p, q = matching(scores.detach(), tau)
    return (p.diagonal() + q.diagonal()) / 2, cosine_similarity(u.detach(), v.detach(), dim=1)


def posterior_of(topo: ArrayLike) -> NDArray[np.float64]:
    """g (pairs,) from topo (pairs,)."""
    x = normalised(topo)
    return 1 - fit_gaussians(x).posterior(x)


class GSC(Method):
    """Labels from the agreement of two similarity structures (CVPR 2024); with two networks, GSC+.

    Args:
        gamma: weight of the structures.
        tau: temperature of the scores.
        tau_structure: temperature of the structures.
        beta: how much of the targets an epoch renews.
        networks: 1, or 2 that exchange their labels.
    """

    def __init__(
        self,
        *,
        gamma: Annotated[float, Field(ge=0)] = 0.01,
        tau: Annotated[float, Field(gt=0)] = 0.07,
        tau_structure: Annotated[float, Field(gt=0)] = 1.0,
        beta: Annotated[float, Field(ge=0, le=1)] = 0.7,
        networks: Literal[1, 2] = 1,
    ) -> None:
        self.gamma = gamma
        self.tau = tau
        self.tau_structure = tau_structure
        self.beta = beta
        self.networks = networks
        self.label_state = "label.0"

    def declare_state(self) -> dict[str, float]:
        """Of each network: the label, what the last step saw of the pair, and the two targets."""
        return {f"{name}.{number}": 1.0 for number in range(self.networks) for name in STATE}

    def step(self, training: Training, batch: Any, *others: Any) -> dict[str, Tensor]:
        """`loss`, its parts as they enter, and the mean label; means over the networks."""
        rows, found = batch.pair_ids, []
        labels = [training.state[f"label.{number}"][rows] for number in range(self.networks)]
        for number, network in enumerate(training.networks):
            y = labels[-1 - number]  # of the other network, where there are two
            images, texts = network.encode(batch)
            scores = square(network.similarity(images, texts))
            among_images, among_texts = (network.within(encoded, raw=True).float() for encoded in (images, texts))
            u, v = structures(among_images, among_texts, y)
            contrastive = contrastive_loss(scores, y, self.tau)
            structure = self.gamma * structure_loss(u, v, y, self.tau_structure)
            network.learn(contrastive + structure)
            pred, topo = observe(scores, u, v, self.tau)
            training.state[f"pred.{number}"][rows] = pred.float()
            training.state[f"topo.{number}"][rows] = topo.float()
            found.append(torch.stack([contrastive.detach(), structure.detach(), y.mean()]))
        contrastive, structure, label = torch.stack(found).mean(dim=0)
        return {
            "loss": contrastive + structure,
            "loss_contrastive": contrastive,
            "loss_structure": structure,
            "label_mean": label,
        }

    def close_epoch(self, training: Training) -> None:
        """Renew targets and labels."""
        for number in range(self.networks):
            state = {name: training.state[f"{name}.{number}"] for name in STATE}
            topo = state["topo"].whole().cpu().numpy()
            posterior = training.agreed(lambda topo=topo: posterior_of(topo).astype(np.float32))  # type: ignore[misc]
            topo_target = self._renewed(state["topo_target"].whole(), torch.from_numpy(posterior))
            pred_target = self._renewed(state["pred_target"].whole(), state["pred"].whole())
            state["topo_target"].copy_(topo_target)
            state["pred_target"].copy_(pred_target)
            state["label"].copy_(torch.minimum(topo_target, pred_target))

    def _renewed(self, target: Tensor, seen: Tensor) -> Tensor:
        return self.beta * seen.to(target) + (1 - self.beta) * target

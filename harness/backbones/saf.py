"""SAF: similarity attention filtration (Diao et al., AAAI 2021). Shared parts and departures: `sgraf.py`."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from harness.backbones.base import l2_normalise
from harness.backbones.encoders import Images, Kind, xavier_linear
from harness.backbones.sgraf import SimilarityReasoning
from harness.spec import AddedLater, NotScience


class SAF(SimilarityReasoning):
    """SAF: similarity vectors of words averaged with learned attention, which filters meaningless alignments.

    The attention passes a BatchNorm of one channel. The released loop shows it one caption against all images at a
    time, so in training its statistics are those of a caption, and its running averages take one update per caption, in
    the captions' order; both are kept, in closed form.
    """

    def __init__(
        self,
        region_dim: int,
        vocabulary_size: int,
        *,
        embed_dim: Annotated[int, Field(ge=1)] = 1024,
        word_dim: Annotated[int, Field(ge=1)] = 300,
        sim_dim: Annotated[int, Field(ge=1)] = 256,
        regions: Annotated[int, Field(ge=1)] = 36,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.4,
        chunk: Annotated[int, Field(ge=1), NotScience] = 32,
        recompute: Annotated[bool, NotScience] = False,
        images: Annotated[Images, AddedLater(neutral="set")] = "set",
        texts: Annotated[Kind, AddedLater(neutral="words")] = "words",
    ) -> None:
        super().__init__(
            region_dim,
            vocabulary_size,
            embed_dim=embed_dim,
            word_dim=word_dim,
            sim_dim=sim_dim,
            regions=regions,
            dropout=dropout,
            chunk=chunk,
            recompute=recompute,
            images=images,
            texts=texts,
        )
        self.filter = xavier_linear(sim_dim, 1)
        self.filter_norm = nn.BatchNorm1d(1)

    def reason(self, nodes: Tensor, *prepared: Tensor, measure: bool) -> tuple[Tensor, Tensor]:
        norm = self.filter_norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        logits = self.filter(nodes).squeeze(-1)  # (images, captions, 1 + L)
        if measure:
            var, mean = torch.var_mean(logits, dim=(0, 2), correction=0)  # each (captions,)
        else:
            mean, var = (buffer.expand(nodes.shape[1]) for buffer in (norm.running_mean, norm.running_var))
        normal = (logits - mean[:, None]) * torch.rsqrt(var + norm.eps)[:, None] * norm.weight + norm.bias
        gates = torch.sigmoid(normal)
        gates = gates / (gates.sum(dim=-1, keepdim=True) + 1e-8)
        vectors = l2_normalise((gates[:, :, None, :] @ nodes).squeeze(2))
        count = nodes.shape[0] * nodes.shape[2]
        return vectors, torch.stack([mean, var * count / (count - 1)], dim=1)

    @torch.no_grad()
    def learn_statistics(self, statistics: Tensor) -> None:
        norm = self.filter_norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        assert norm.momentum is not None
        captions = len(statistics)
        # n updates r <- (1 - m) r + m s_k at once: the k-th statistic is diluted by the n - 1 - k after it.
        keep = 1 - norm.momentum
        statistics = statistics.to(norm.running_mean.dtype)
        share = norm.momentum * keep ** torch.arange(captions - 1, -1, -1, device=statistics.device)
        added = share.to(statistics.dtype) @ statistics
        norm.running_mean.mul_(keep**captions).add_(added[0])
        norm.running_var.mul_(keep**captions).add_(added[1])
        norm.num_batches_tracked += captions

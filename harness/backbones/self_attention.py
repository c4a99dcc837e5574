"""SGRAF's self-attention: one global vector per image or text, weighted by how each region or word agrees with the
mean."""

import torch
from torch import Tensor, nn

from harness.backbones.base import l2_normalise, length_mask
from harness.backbones.encoders import xavier_linear
from harness.errors import HarnessError


class RegionNorm(nn.Module):
    """BatchNorm whose channel is the region's place, 1..`regions`: statistics over images and feature channels.

    The released model fixes 36 places. Where an image has fewer regions because some were dropped, its k-th of l takes
    the statistics of the place where it is expected to have stood, (k (regions + 1) / (l + 1)), rounded: with nothing
    dropped that is its own place, and with regions dropped every place still sees examples. (The released code keeps
    dropped regions as near-zero vectors that count in the statistics and are attended to.) A place without an example
    in a batch keeps its running averages.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, regions: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.regions = regions
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(regions))
        self.bias = nn.Parameter(torch.zeros(regions))
        self.register_buffer("running_mean", torch.zeros(regions))
        self.register_buffer("running_var", torch.ones(regions))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x (n, R, d) with R <= regions, lengths (n,) -> (n, R, d)."""
        if x.shape[1] > self.regions:
            raise HarnessError(
                f"backbone: images have {x.shape[1]} regions, the model was made for {self.regions}; "
                f"accepted: at most {self.regions}; set regions = {x.shape[1]}"
            )
        mask = length_mask(lengths, x.shape[1])  # (n, R)
        k = torch.arange(1, x.shape[1] + 1, device=x.device)
        place = torch.round(k * (self.regions + 1) / (lengths[:, None] + 1)).long() - 1
        place = place.clamp_max(self.regions - 1)
        if self.training:
            kind = torch.promote_types(x.dtype, torch.float32)
            member = nn.functional.one_hot(place, self.regions).to(kind) * mask[:, :, None]
            member = member.flatten(0, 1).T  # (regions, n * R): a product adds up in a fixed order on every device
            count = member.sum(dim=1) * x.shape[2]
            mean = (member @ x.sum(dim=2, dtype=kind).flatten()) / count.clamp_min(1)
            centred = x - mean[place][:, :, None]
            var = (member @ centred.square().sum(dim=2, dtype=kind).flatten()) / count.clamp_min(1)
            self._track(mean.detach(), var.detach(), count)
        else:
            mean, var = self.running_mean, self.running_var
            centred = x - mean[place][:, :, None]
        scale = (self.weight * torch.rsqrt(var + self.eps))[place]
        return torch.addcmul(self.bias[place][:, :, None], centred, scale[:, :, None])

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor, count: Tensor) -> None:
        seen = count > 1
        unbiased = var * count / (count - 1).clamp_min(1)
        self.running_mean.copy_(
            torch.where(seen, torch.lerp(self.running_mean, mean, self.momentum), self.running_mean)
        )
        self.running_var.copy_(
            torch.where(seen, torch.lerp(self.running_var, unbiased, self.momentum), self.running_var)
        )
        self.num_batches_tracked += 1


class VisualSelfAttention(nn.Module):
    """(images, R, d) -> (images, d), unit length. BatchNorm, tanh and dropout on both the regions and their mean."""

    def __init__(self, dim: int, regions: int, *, dropout: float) -> None:
        super().__init__()
        self.local = xavier_linear(dim, dim)
        self.local_norm = RegionNorm(regions)
        self.mean = xavier_linear(dim, dim)
        self.mean_norm = nn.BatchNorm1d(dim)
        self.common = xavier_linear(dim, 1)
        self.common.bias.requires_grad_(False)  # cancels in the softmax; official checkpoints have it
        self.dropout = nn.Dropout(dropout)

    def forward(self, regions: Tensor, lengths: Tensor) -> Tensor:
        mean = regions.sum(dim=1) / lengths[:, None]  # padded regions are zero
        local = self.dropout(torch.tanh(self.local_norm(self.local(regions), lengths)))
        whole = self.dropout(torch.tanh(self.mean_norm(self.mean(mean))))
        return _attend(regions, lengths, local, whole, self.common)


class TextSelfAttention(nn.Module):
    """(texts, L, d) -> (texts, d), unit length. As for images, without BatchNorm."""

    def __init__(self, dim: int, *, dropout: float) -> None:
        super().__init__()
        self.local = xavier_linear(dim, dim)
        self.mean = xavier_linear(dim, dim)
        self.common = xavier_linear(dim, 1)
        self.common.bias.requires_grad_(False)  # cancels in the softmax; official checkpoints have it
        self.dropout = nn.Dropout(dropout)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        mean = words.sum(dim=1) / lengths[:, None]  # padded words are zero
        local = self.dropout(torch.tanh(self.local(words)))
        whole = self.dropout(torch.tanh(self.mean(mean)))
        return _attend(words, lengths, local, whole, self.common)


def _attend(items: Tensor, lengths: Tensor, local: Tensor, whole: Tensor, common: nn.Linear) -> Tensor:
    # common(local * whole) without the product's (n, items, d) copy; its bias cancels in the softmax.
    scores = (local @ (whole * common.weight)[:, :, None]).squeeze(-1)  # (n, items)
    scores = torch.where(length_mask(lengths, items.shape[1]), scores, -torch.inf)
    weights = torch.softmax(scores, dim=-1)
    return l2_normalise((weights[:, None, :] @ items).squeeze(1))

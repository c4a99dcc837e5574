"""A bidirectional GRU over sequences of different lengths, its two directions averaged.

`BiGRU` is `nn.GRU` with the same parameters, names and start, and on an accelerator it runs as one. On a CPU torch
records every step of the recurrence for the backward pass, and the gradient of each step's slice is a full-size tensor
of zeros. There, one function walks the packed steps in both passes, keeps the gates, and takes the recurrent weights'
gradient from one product at the end. Neither that nor an accelerator's GRU can be differentiated twice; where it is
wanted, `recurrence` records every step.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from harness.backbones.base import plain_cpu, twice
from harness.compiling import untraced


class BiGRU(nn.GRU):
    """(n, L, inputs), lengths (n,) -> (n, L, hidden), zero beyond each length."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden, batch_first=True, bidirectional=True)

    def averaged(self, items: Tensor, lengths: Tensor, places: Tensor | None = None) -> Tensor:
        """The mean of both directions' states; lengths in 1..L, in any order.

        places: (n, L), which of `items` (m, inputs) stands where. On a CPU the input's product is then one of m rows.
        """
        return untraced(BiGRU._averaged)(self, items, lengths, places)  # packed sequences cannot be traced

    def _averaged(self, items: Tensor, lengths: Tensor, places: Tensor | None = None) -> Tensor:
        rows = items if places is None else places
        packed = pack_padded_sequence(rows, lengths.cpu(), batch_first=True, enforce_sorted=False)
        data, where = (packed.data, None) if places is None else (items, packed.data)
        if twice() or plain_cpu(data):
            sizes = packed.batch_sizes.tolist()
            ahead, back = (self._direction(data, where, sizes, suffix) for suffix in ("", "_reverse"))
            states = (ahead + back) / 2
        else:
            data = data if where is None else data[where]
            both = self._torchs(data, packed.batch_sizes, len(rows))
            states = (both[:, : self.hidden_size] + both[:, self.hidden_size :]) / 2
        return _padded(states, packed, *rows.shape[:2])

    def _direction(self, data: Tensor, where: Tensor | None, sizes: list[int], suffix: str) -> Tensor:
        weight_in, weight, bias_in, bias = (getattr(self, name) for name in _names(suffix))
        gates = nn.functional.linear(data, weight_in, bias_in)  # every step's at once
        if where is not None:
            gates = nn.functional.embedding(where, gates)
        walk = recurrence if twice() else _Recurrence.apply
        states: Tensor = walk(gates, weight, bias, sizes, bool(suffix))  # of gates (words, 3 hidden)
        return states

    def _torchs(self, data: Tensor, sizes: Tensor, count: int) -> Tensor:
        """What `nn.GRU` computes. It keeps references to its weights; here they are those of the moment."""
        weights = [getattr(self, name) for suffix in ("", "_reverse") for name in _names(suffix)]
        start = data.new_zeros(2, count, self.hidden_size)
        return torch.gru(data, sizes, start, weights, True, 1, 0.0, self.training, True)[0]


def _names(suffix: str) -> list[str]:
    return [f"{name}_l0{suffix}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]


def _padded(states: Tensor, packed: PackedSequence, count: int, longest: int) -> Tensor:
    """States (words, hidden) of the packed rows -> (count, longest, hidden).

    torch's `pad_packed_sequence` copies once for each length, and its gradient the whole result as often.
    """
    assert packed.sorted_indices is not None
    sizes = packed.batch_sizes
    step = torch.repeat_interleave(torch.arange(len(sizes)), sizes)  # of each row, and its sequence among the sorted
    place = torch.cat([torch.arange(size) for size in sizes.tolist()])
    rows = packed.sorted_indices[place.to(states.device)] * longest + step.to(states.device)
    return states.new_zeros(count * longest, states.shape[1]).index_copy(0, rows, states).view(count, longest, -1)


def _steps(sizes: list[int], backward: bool) -> list[tuple[int, slice]]:
    """(sequences still running, their rows in the packed data), in the order of the recurrence."""
    steps, start = [], 0
    for size in sizes:
        steps.append((size, slice(start, start + size)))
        start += size
    return steps[::-1] if backward else steps


def recurrence(gates: Tensor, weight: Tensor, bias: Tensor, sizes: list[int], backward: bool) -> Tensor:
    """r, z = sigmoid(gates + W h + b), n = tanh(gate + r (W h + b)), h <- n + z (h - n), over packed steps.

    gates (words, 3 hidden), weight (3 hidden, hidden), bias (3 hidden,) -> states (words, hidden).
    """
    hidden = weight.shape[1]
    state = gates.new_zeros(sizes[0], hidden)
    inputs, states = gates.split(sizes), []
    for gate in reversed(inputs) if backward else inputs:
        h = state[: len(gate)]
        recurrent = nn.functional.linear(h, weight, bias)
        r, z = torch.sigmoid(gate[:, : 2 * hidden] + recurrent[:, : 2 * hidden]).chunk(2, dim=1)
        candidate = torch.tanh(gate[:, 2 * hidden :] + r * recurrent[:, 2 * hidden :])
        states.append(candidate + z * (h - candidate))
        state = torch.cat([states[-1], state[len(gate) :]])
    return torch.cat(states[::-1] if backward else states)


class _Recurrence(torch.autograd.Function):
    """`recurrence` with few intermediate results."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, weight: Tensor, bias: Tensor, sizes: list[int], backward: bool) -> Tensor:
        hidden = weight.shape[1]
        kept = torch.empty_like(gates)  # r, z, and W h + b of the candidate
        candidates, before, states = (gates.new_empty(len(gates), hidden) for _ in range(3))
        state = gates.new_zeros(sizes[0], hidden)
        for running, rows in _steps(sizes, backward):
            h = state[:running]
            before[rows] = h
            recurrent = torch.addmm(bias, h, weight.T, out=kept[rows])
            now = recurrent[:, : 2 * hidden].add_(gates[rows, : 2 * hidden]).sigmoid_()
            candidate = candidates[rows]
            torch.addcmul(gates[rows, 2 * hidden :], now[:, :hidden], recurrent[:, 2 * hidden :], out=candidate).tanh_()
            torch.lerp(candidate, h, now[:, hidden:], out=states[rows])
            h.copy_(states[rows])
        ctx.save_for_backward(weight, kept, candidates, before)
        ctx.sizes, ctx.backward = sizes, backward
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weight, kept, candidates, before = ctx.saved_tensors
        hidden = weight.shape[1]
        r, z, pulls = kept.split(hidden, dim=1)
        # What each step multiplies the state's gradient with is known beforehand: made for all steps at once.
        to_candidate = (1 - z) * (1 - candidates.square())
        to_r, to_z = to_candidate * pulls * r * (1 - r), (before - candidates) * z * (1 - z)
        factors = torch.cat([to_r, to_z, to_candidate * r], dim=1)  # (words, 3 hidden), for W h + b
        to_recurrent = torch.empty_like(factors)
        totals = torch.empty_like(grad)
        ahead = grad.new_zeros(ctx.sizes[0], hidden)
        transposed = weight.T.contiguous()  # few rows times this, transposed, are a quarter faster than times `weight`
        for running, rows in reversed(_steps(ctx.sizes, ctx.backward)):
            total = torch.add(grad[rows], ahead[:running], out=totals[rows])
            step = to_recurrent[rows]
            torch.mul(factors[rows].view(running, 3, hidden), total[:, None], out=step.view(running, 3, hidden))
            torch.addmm(total * z[rows], step, transposed.T, out=ahead[:running])
        to_weight, to_bias = to_recurrent.T @ before, to_recurrent.sum(dim=0)
        to_gates = to_recurrent  # of r and z the same, and of the candidate without the r before W h + b
        torch.mul(totals, to_candidate, out=to_gates[:, 2 * hidden :])
        return to_gates, to_weight, to_bias, None, None

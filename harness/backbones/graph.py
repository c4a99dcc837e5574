"""SGR's reasoning over a fully connected graph of similarity vectors, and how a CPU walks over many small graphs.

One step renews a node x_i from all nodes of its graph:

    edge_ij = softmax_j ((Q x_i + p) . (K x_j + k))        x_i <- relu(O sum_j edge_ij x_j + o)

Of the edge's four terms, the two with k are the same for all j and cancel in the softmax, so the edge is
(M' x_i + v) . x_j with M' = K' Q and v = K' p: one product with the nodes, not two. Only the global node is read after
the last step, so that step renews it alone.

A batch holds 16,000 graphs of about 15 nodes. Taken all at once, every intermediate result is 0.25 GB that goes to
memory and comes back; torch's own gradient keeps eight of them for each step. On a CPU, `_Reasoning` takes a block of
graphs through all steps while it is in the cache, forward and backward, and keeps nodes, queries and edges.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from harness.backbones.base import blocks_of, plain_cpu
from harness.backbones.encoders import xavier_linear

BLOCK_BYTES = 2**21  # of the nodes taken at once; about six arrays of this size are in use


class GraphStep(nn.Module):
    """The maps of one step."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query = xavier_linear(dim, dim)
        self.key = xavier_linear(dim, dim)
        self.key.bias.requires_grad_(False)  # cancels: kept because official checkpoints have it
        self.output = xavier_linear(dim, dim)

    def maps(self) -> tuple[Tensor, ...]:
        """M' (d, d), v (d,), O (d, d), o (d,)."""
        matrix, vector = self.key.weight.T @ self.query.weight, self.query.bias @ self.key.weight
        return matrix, vector, self.output.weight, self.output.bias


def reason(graphs: Tensor, *maps: Tensor) -> Tensor:
    """The global node after all steps (graphs, d): graphs (graphs, n, d), the global node first, four `maps` a step."""
    if plain_cpu(graphs):
        reasoned: Tensor = _Reasoning.apply(graphs, *maps)
        return reasoned
    steps = _steps(maps)
    for matrix, vector, output, bias in steps:
        asking = graphs[:, :1] if output is steps[-1][2] else graphs
        edges = torch.softmax(nn.functional.linear(asking, matrix, vector) @ graphs.transpose(1, 2), dim=-1)
        graphs = torch.relu(nn.functional.linear(edges @ graphs, output, bias))
    return graphs.squeeze(1)


def _steps(maps: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
    return [maps[place : place + 4] for place in range(0, len(maps), 4)]


class _Reasoning(torch.autograd.Function):
    """`reason` without one large intermediate result."""

    @staticmethod
    def forward(ctx: Any, graphs: Tensor, *maps: Tensor) -> Tensor:
        steps = _steps(maps)
        count, n, _ = graphs.shape
        nodes = [graphs] + [torch.empty_like(graphs) for _ in steps[1:]]  # before each step
        renewed = [*nodes[1:], torch.empty_like(graphs[:, :1])]
        edges = [graphs.new_empty(count, after.shape[1], n) for after in renewed]
        asked = [torch.empty_like(after) for after in renewed]
        for rows in _blocks(graphs):
            for step, (matrix, vector, output, bias) in enumerate(steps):
                x, after = nodes[step][rows], renewed[step][rows]
                query, edge = asked[step][rows], edges[step][rows]
                torch.addmm(vector, x[:, : after.shape[1]].flatten(0, 1), matrix.T, out=query.flatten(0, 1))
                torch.softmax(torch.bmm(query, x.transpose(1, 2)), dim=-1, out=edge)
                torch.addmm(bias, torch.bmm(edge, x).flatten(0, 1), output.T, out=after.flatten(0, 1)).relu_()
        ctx.save_for_backward(*maps, *nodes, *renewed[-1:], *edges, *asked)
        return renewed[-1].squeeze(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        saved = list(ctx.saved_tensors)
        count = (len(saved) - 1) // 7  # steps: four maps, nodes, edges and queries of each, and the result
        maps, nodes = saved[: 4 * count], saved[4 * count : 5 * count + 1]
        edges, asked = saved[5 * count + 1 : 6 * count + 1], saved[6 * count + 1 :]
        to_maps = [torch.zeros_like(tensor) for tensor in maps]
        to_graphs = torch.empty_like(nodes[0])
        for rows in _blocks(to_graphs):
            pull = grad[rows]  # (block * m, d), towards what a step renewed
            for step in reversed(range(count)):
                matrix, _, output, _ = maps[4 * step : 4 * step + 4]
                to_matrix, to_vector, to_output, to_bias = to_maps[4 * step : 4 * step + 4]
                x, after, edge = nodes[step][rows], nodes[step + 1][rows], edges[step][rows]
                asking = x[:, : after.shape[1]].flatten(0, 1)
                pull = torch.ops.aten.threshold_backward(pull, after.flatten(0, 1), 0)
                to_output.addmm_(pull.T, torch.bmm(edge, x).flatten(0, 1))
                to_bias += pull.sum(dim=0)
                to_mixed = (pull @ output).view_as(after)
                to_x = torch.bmm(edge.transpose(1, 2), to_mixed)
                to_edge = torch.bmm(to_mixed, x.transpose(1, 2)).mul_(edge)
                to_edge.addcmul_(edge, to_edge.sum(dim=-1, keepdim=True), value=-1)  # through the softmax
                to_x.baddbmm_(to_edge.transpose(1, 2), asked[step][rows])
                to_asked = torch.bmm(to_edge, x).flatten(0, 1)
                to_matrix.addmm_(to_asked.T, asking)
                to_vector += to_asked.sum(dim=0)
                if after.shape == x.shape:
                    pull = to_x.flatten(0, 1).addmm_(to_asked, matrix)
                else:
                    to_x[:, 0].addmm_(to_asked, matrix)
                    pull = to_x.flatten(0, 1)
            to_graphs[rows] = pull.view_as(to_graphs[rows])
        return to_graphs, *to_maps


def _blocks(graphs: Tensor) -> list[slice]:
    count, n, dim = graphs.shape
    return blocks_of(count, n * dim * graphs.element_size(), BLOCK_BYTES)

"""SGR: similarity graph reasoning (Diao et al., AAAI 2021). Shared parts and departures: `sgraf.py`."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from harness.backbones.encoders import xavier_linear
from harness.backbones.sgraf import SimilarityReasoning


class GraphStep(nn.Module):
    """One step over a fully connected graph of similarity vectors: softmax edges from query and key, then a
    linear map.

    The edge of i and j is (Q x_i + p) . (K x_j + k). Of its four terms, the two with k are the same for all j
    and cancel in the softmax over j, so the edge is (x_i M + v) . x_j with M = Q' K and v = K' p: one product
    with the nodes, not two.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query = xavier_linear(dim, dim)
        self.key = xavier_linear(dim, dim)
        self.key.bias.requires_grad_(False)  # cancels: kept because official checkpoints have it
        self.output = xavier_linear(dim, dim)

    def forward(self, nodes: Tensor, asking: Tensor, mask: Tensor) -> Tensor:
        """nodes (images, captions, n, d), asking (images, captions, m, d) the nodes to renew, mask (captions,
        n)."""
        matrix = self.key.weight.T @ self.query.weight  # (d, d), M transposed
        asked = nn.functional.linear(asking, matrix, self.query.bias @ self.key.weight)
        edges = asked @ nodes.transpose(-1, -2)  # (images, captions, m, n)
        edges = torch.softmax(torch.where(mask[:, None, :], edges, -torch.inf), dim=-1)
        return self.output(edges @ nodes).relu_()


class SGR(SimilarityReasoning):
    """SGR: similarity vectors reason over a graph for a few steps; the global node's vector is scored."""

    def __init__(
        self,
        region_dim: int,
        vocabulary_size: int,
        *,
        embed_dim: Annotated[int, Field(ge=1)] = 1024,
        word_dim: Annotated[int, Field(ge=1)] = 300,
        sim_dim: Annotated[int, Field(ge=1)] = 256,
        graph_steps: Annotated[int, Field(ge=1)] = 3,
        regions: Annotated[int, Field(ge=1)] = 36,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.4,
        chunk: Annotated[int, Field(ge=1)] = 32,
        recompute: bool = False,
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
        )
        self.graph_steps = graph_steps
        self.graph = nn.ModuleList(GraphStep(sim_dim) for _ in range(graph_steps))

    def reason(self, nodes: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        for step in self.graph[:-1]:
            nodes = step(nodes, nodes, mask)
        # Only the global node is read after the last step, so only it is renewed.
        vectors = self.graph[-1](nodes, nodes[:, :, :1], mask).squeeze(2)
        return vectors, nodes.new_empty(len(mask), 0)

"""SGR: similarity graph reasoning (Diao et al., AAAI 2021). Shared parts and departures: `sgraf.py`."""

from typing import Annotated, cast

from pydantic import Field
from torch import Tensor, nn

from harness.backbones.encoders import Images, Kind
from harness.backbones.graph import GraphStep, reason
from harness.backbones.sgraf import SimilarityReasoning
from harness.spec import AddedLater, NotScience


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
        self.graph_steps = graph_steps
        self.graph = nn.ModuleList(GraphStep(sim_dim) for _ in range(graph_steps))

    def prepare(self) -> tuple[Tensor, ...]:
        return tuple(tensor for step in self.graph for tensor in cast(GraphStep, step).maps())

    def reason(self, nodes: Tensor, *prepared: Tensor, measure: bool) -> tuple[Tensor, Tensor]:
        vectors = reason(nodes.flatten(0, 1), *prepared)
        return vectors.view(*nodes.shape[:2], -1), nodes.new_empty(nodes.shape[1], 0)

"""Options of the machine: none changes what is computed, beyond the rounding of its number format."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from toy import CRCL, write_grid

from harness.backbones import BACKBONES, Backbone
from harness.data import open_dataset
from harness.data.batches import Batch, PairReader
from harness.errors import HarnessError
from harness.grids import load_grid
from harness.ledger import Ledger
from harness.training.machine import Machine
from harness.training.work import work


def a_batch(data: Path) -> tuple[Batch, int, int]:
    dataset = open_dataset("toy", data)
    split = dataset.split("train")
    batch = PairReader(split, split.image_of_caption).read(np.arange(12) * 5)
    return batch, dataset.region_dim, len(dataset.vocabulary)


def a_network(name: str, region_dim: int, words: int) -> Backbone:
    torch.manual_seed(0)
    more = {} if name == "vse_infinity" else {"sim_dim": 8, "regions": 8, "dropout": 0.0}
    return BACKBONES[name](region_dim, words, embed_dim=16, word_dim=8, **more)


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(set(BACKBONES) - {"clip"}))  # whose transformers are not ours to compile
@pytest.mark.parametrize("cuda_graphs", [False, True])
def test_a_compiled_step_gives_the_same_scores_and_gradients(name: str, cuda_graphs: bool, toy_data: Path) -> None:
    batch, region_dim, words = a_batch(toy_data)
    found = []
    for machine in (Machine(), Machine(compile=True, cuda_graphs=cuda_graphs)):
        network = a_network(name, region_dim, words)

        def score(network: Backbone = network) -> torch.Tensor:
            images = network.encode_images(batch.regions, batch.region_lengths)
            return network.similarity(images, network.encode_texts(batch.tokens, batch.lengths))

        step = machine.compiled(score)
        step()  # the second call replays what the first has recorded
        scores = step()
        scores.square().sum().backward()
        grads = [p.grad.clone() for p in network.parameters() if p.grad is not None]
        found.append((scores.detach(), grads))
    (eager, eager_grads), (compiled, compiled_grads) = found
    assert torch.allclose(eager, compiled, atol=1e-5)
    assert len(eager_grads) == len(compiled_grads)
    for one, other in zip(eager_grads, compiled_grads, strict=True):
        assert torch.allclose(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.long
def test_bf16_trains_to_like_labels_and_scores(tmp_path: Path, toy_data: Path) -> None:
    results = {}
    for precision in ("float32", "bf16"):
        grid = load_grid(write_grid(tmp_path, CRCL))
        cell = Ledger(tmp_path / precision).add(grid.cells[0].entry(grid.name))
        assert work(cell, toy_data, Machine(precision=precision)) == "done", cell.failure()  # type: ignore[arg-type]
        results[precision] = cell.rows()
    first = [rows[0]["values"]["train/loss"] for rows in results.values()]
    assert first[0] == pytest.approx(first[1], rel=0.01)
    assert first[0] != first[1]  # it really was another number format
    assert all(np.isfinite(row["values"]["dev/rsum"]) for row in results["bf16"])


def test_a_device_that_is_not_there_is_one_line() -> None:
    with pytest.raises(HarnessError, match="this machine has no such device; accepted: auto, cpu, cuda"):
        Machine(device="warp").torch_device()


def test_pinned_batches_are_the_same(toy_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[torch.Tensor] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor.clone())
    dataset = open_dataset("toy", toy_data)
    split = dataset.split("train")
    found = [
        PairReader(split, split.image_of_caption, pin_memory=pin_memory).read(np.arange(12)).to("cpu")
        for pin_memory in (False, True)
    ]
    assert len(pinned) >= len(fields(Batch))
    for field in fields(Batch):
        one, other = (getattr(batch, field.name) for batch in found)
        assert torch.equal(one, other)


def test_memory_is_pinned_for_cuda_alone() -> None:
    assert Machine().pins(torch.device("cuda"))
    assert not Machine(pin_memory=False).pins(torch.device("cuda"))
    assert not Machine().pins(torch.device("cpu"))


def test_cuda_graphs_without_compilation_are_one_line() -> None:
    with pytest.raises(HarnessError, match=r"--cuda-graphs replays what torch.compile has made.*add it"):
        Machine(cuda_graphs=True)

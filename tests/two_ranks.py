"""Run under torchrun with two processes: what ranks exchange, against what one process computes from all of it.

A rank that agrees leaves a file in the folder that is given.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from harness.backbones.encoders import BatchNorm
from harness.distributed import any_rank, broadcast, gather, joined, most, rank, share, total, total_, world
from harness.training.network import backward
from harness.training.state import PairValues, declared


def rows(count: int, *more: int) -> Tensor:
    """The same numbers on both ranks."""
    return torch.randn(count, *more, generator=torch.Generator().manual_seed(count))


def check_plain_exchanges() -> None:
    assert world() == 2
    assert share(5) == [slice(0, 3), slice(3, 5)][rank()]
    assert any_rank(rank() == 0, rank() == 1, False) == (True, True, False)
    assert broadcast({"from": rank()}) == {"from": 0}
    assert most(3 + rank()) == 4
    assert total_(torch.tensor([1, 10 + rank()])).tolist() == [2, 21]
    assert total(torch.ones(3, dtype=torch.bfloat16)).tolist() == [2, 2, 2]
    lengths = torch.arange(5)
    assert gather(lengths[share(5)], 5).equal(lengths)


def check_a_gradient_through_gathered_rows() -> None:
    """Each rank does something else with all rows; the rows' gradient is that of all of it."""
    whole = rows(5, 4, 3).requires_grad_()
    own = whole.detach()[share(5)].clone().requires_grad_()
    gathered = gather(own, 5)
    assert gathered.equal(whole)
    weights = rows(7, 3)
    columns = gathered.sum(dim=1) @ weights[share(7)].T  # (5, this rank's of 7)
    scores = gather(columns.T, 7).T
    expected = whole.sum(dim=1) @ weights.T
    torch.testing.assert_close(scores, expected)
    expected.softmax(dim=1).diagonal().sum().backward()
    (scores.softmax(dim=1).diagonal().sum() / world()).backward()
    assert whole.grad is not None
    torch.testing.assert_close(own.grad, whole.grad[share(5)])


def check_parameters_gradients_are_summed() -> None:
    """Also where one has none."""
    first, unused, last = (nn.Parameter(rows(n)) for n in (2, 3, 4))
    inputs = rows(6, 2)
    scores = gather(inputs[share(6)] @ first * last.sum(), 6)
    backward(scores.square().sum(), [first, unused, last])
    one, other = (parameter.detach().clone().requires_grad_() for parameter in (first, last))
    (inputs @ one * other.sum()).square().sum().backward()
    assert unused.grad is None
    torch.testing.assert_close(first.grad, one.grad)
    torch.testing.assert_close(last.grad, other.grad)


def check_batchnorm_is_that_of_all_rows() -> None:
    ours, theirs = BatchNorm(3), nn.BatchNorm1d(3)
    for norm in (ours, theirs):
        nn.init.uniform_(norm.weight, generator=torch.Generator().manual_seed(1))
    whole = (rows(9, 3) * 2 + 1).requires_grad_()
    own = whole.detach()[share(9)].clone().requires_grad_()
    for _ in range(2):
        normal, expected = gather(ours(own), 9), theirs(whole)
    torch.testing.assert_close(normal, expected)
    weights = rows(10, 3)[:9]
    (expected.square() * weights).sum().backward()
    loss = (normal.square() * weights).sum()
    (loss / world()).backward(inputs=[own], retain_graph=True)
    backward(loss, list(ours.parameters()))
    assert whole.grad is not None
    torch.testing.assert_close(own.grad, whole.grad[share(9)])
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)
    torch.testing.assert_close(ours.bias.grad, theirs.bias.grad)
    for name, buffer in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], buffer)
    torch.testing.assert_close(ours.eval()(own), theirs.eval()(whole)[share(9)])


def check_pair_state_is_shared_out() -> None:
    state = declared({"label": 1.0}, 7, torch.device("cpu"))["label"]
    assert isinstance(state, PairValues)
    assert len(state) == 7
    assert len(state.own) == (4 if rank() == 0 else 3)
    whole = torch.ones(7)
    for chosen in ([6, 3, 0, 4], [1], [4, 2], [5, 3]):
        pairs = torch.tensor(chosen)
        values = rows(20)[pairs] + len(chosen)
        assert state[pairs].equal(whole[pairs])
        state[pairs] = values
        whole[pairs] = values
        assert state[pairs].equal(values)
    assert state.own.equal(whole[rank() :: 2])
    assert state.whole().equal(whole)
    state.copy_(whole * 3)
    assert state.whole().equal(whole * 3)


if __name__ == "__main__":
    with joined():
        check_plain_exchanges()
        check_a_gradient_through_gathered_rows()
        check_parameters_gradients_are_summed()
        check_batchnorm_is_that_of_all_rows()
        check_pair_state_is_shared_out()
        (Path(sys.argv[1]) / f"rank{rank()}").touch()

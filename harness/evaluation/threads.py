"""Long loops of small operations on several cores, each core with a share of the loop.

Torch by itself starts and ends its threads at every operation. On a machine with other work one of them is often not
running, and all wait for it, at every operation anew: ranks of 5,000 images and 25,000 captions then took ten times as
long with two threads as with one. With shares they wait once.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

FEW = 8  # blocks that are not worth a thread


def sum_of_shares(count: Callable[[Sequence[slice]], Tensor], blocks: Sequence[slice], device: torch.device) -> Tensor:
    """The sum of what `count` gives for shares of `blocks`; integers, so that no order of sums shows."""
    threads = min(torch.get_num_threads(), len(blocks) // FEW)
    if device.type != "cpu" or threads < 2:
        return count(blocks)
    shares = [blocks[place::threads] for place in range(threads)]
    usual = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            first, *others = pool.map(count, shares)
    finally:
        torch.set_num_threads(usual)  # threads that start later take the number that was set last
    return sum(others, first)

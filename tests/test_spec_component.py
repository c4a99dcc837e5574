"""A constructor checks its keywords as a spec does, and stays the constructor that was written."""

import copy
import inspect
import pickle
import subprocess
import sys
from typing import Annotated

import pytest
import torch
from pace import loops
from pydantic import Field

from harness.backbones import SAF, SGR, VSEInfinity
from harness.errors import HarnessError
from harness.methods import Method
from harness.methods.crcl import CRCL
from harness.noise.caption_level import CaptionLevel
from harness.noise.index_file import IndexFile
from harness.spec import make

SMALL = {"embed_dim": 4, "word_dim": 4, "sim_dim": 4, "regions": 2}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CRCL(beta=7), "CRCL: beta = 7: accepted: 1 or less"),
        (lambda: CRCL(tau=0, epsilon=1), "CRCL: tau = 0: accepted: more than 0; epsilon = 1: accepted: "),
        (lambda: CRCL(betaa=0.5), "CRCL: betaa = 0.5: unknown key; did you mean 'beta'? accepted: active, beta"),
        (lambda: CRCL(transform="sin"), "CRCL: transform = 'sin': accepted: 'tan', 'identity', 'log' or 'exp'"),
        (lambda: CaptionLevel(rate=1.2), "CaptionLevel: rate = 1.2: accepted: 1 or less"),
        (lambda: IndexFile(rate=0.4), "IndexFile: path: is missing; accepted: text in quotation marks"),
        (lambda: VSEInfinity(8, 9, gpo_dim=3), "VSEInfinity: gpo_dim = 3: accepted: a multiple of 2"),
        (lambda: SGR(8, 9, chunk=0), "SGR: chunk = 0: accepted: 1 or more"),
        (lambda: make("crcl", beta=7), "CRCL: beta = 7: accepted: 1 or less"),
        (lambda: make("crlc"), "crlc: no such component; did you mean 'crcl'?"),
    ],
)  # fmt: skip
def test_a_wrong_keyword_is_one_line(call: type, message: str) -> None:
    with pytest.raises(HarnessError) as caught:
        call()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_component_is_made_by_name_or_class() -> None:
    assert make("crcl", beta=0.5).beta == make(CRCL, beta=0.5).beta == 0.5
    assert make("saf", 8, 9, **SMALL).vocabulary_size == 9


def test_values_are_what_their_types_say() -> None:
    assert CRCL(pieces=[2, 2]).pieces == (2, 2)
    assert type(CRCL(beta=1).beta) is float


def test_the_constructor_is_the_one_that_was_written() -> None:
    assert list(inspect.signature(VSEInfinity).parameters)[:3] == ["region_dim", "vocabulary_size", "embed_dim"]
    assert inspect.signature(CRCL).parameters["beta"].default == 0.8
    assert VSEInfinity(region_dim=8, vocabulary_size=9, embed_dim=4, word_dim=4).region_dim == 8  # by keyword as well
    with pytest.raises(TypeError, match="vocabulary_size"):
        VSEInfinity(8)  # type: ignore[call-arg]


def test_a_subclass_hands_its_keywords_up() -> None:
    class Warm(CRCL):
        def __init__(self, *, warm: Annotated[int, Field(ge=0)] = 1, beta: float = 0.5) -> None:
            super().__init__(beta=beta)
            self.warm = warm

    assert Warm().beta == 0.5
    with pytest.raises(HarnessError, match=r"^Warm: warm = -1: accepted: 0 or more$"):
        Warm(warm=-1)
    with pytest.raises(HarnessError, match=r"^Warm: beta = 2.0: accepted: 1 or less$"):
        Warm(beta=2)

    class Plain(Method):
        pass

    Plain()
    with pytest.raises(TypeError):
        Plain(beta=1)  # type: ignore[call-arg]


def test_copies_and_pickles_need_no_constructor() -> None:
    method = pickle.loads(pickle.dumps(copy.deepcopy(CRCL(beta=0.3))))
    assert method.beta == 0.3
    saf = SAF(8, 9, **SMALL)
    again = copy.deepcopy(saf)
    assert torch.equal(again.score.weight, saf.score.weight)


def test_a_check_costs_microseconds() -> None:
    CRCL()
    _, took = loops(lambda: [CRCL(beta=0.5, tau=0.1) for _ in range(1000)])
    assert took < 2  # of a tenth of a second each


def test_reading_a_spec_needs_no_torch() -> None:
    code = "import sys, harness.spec; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"

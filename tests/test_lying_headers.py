"""Files whose first bytes promise what the rest does not hold: one line, and no memory taken for the promise."""

import hashlib
import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from toy import CRCL, begun

from harness.backbones.base import Backbone
from harness.backbones.vse_infinity import VSEInfinity
from harness.backbones.weights import load_backbone, save_backbone
from harness.data import layout
from harness.data.vocabulary import Vocabulary
from harness.errors import HarnessError
from harness.files import open_array
from harness.noise.index_file import IndexFile
from harness.training import checkpoint
from harness.training.history import read_history
from harness.training.machine import Machine
from harness.training.work import work

SIDES = st.sampled_from([-1, 0, 1, 2, 3, 10**6, 10**12, 2**63, 10**30])
HEADERS = st.fixed_dictionaries(
    {
        "descr": st.sampled_from(["<f4", "<f2", "<i8", "|u1", "|O", "<U4", "nonsense", "<f99", [("a", "<f4")], 7]),
        "fortran_order": st.sampled_from([False, True, 3]),
        "shape": st.one_of(st.lists(SIDES, max_size=4).map(tuple), st.just("x"), st.just(None)),
    }
)
DEEP = "[" * 900
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def npy(header: str, body: bytes) -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


def one_line(error: HarnessError, file: str) -> None:
    assert "\n" not in str(error)
    assert len(str(error)) < 600
    assert file in str(error)


@QUICK
@given(header=HEADERS.map(repr) | st.text(max_size=80) | st.just(DEEP), body=st.binary(max_size=64))
def test_an_array_is_whole_or_refused_in_one_line(tmp_path: Path, header: str, body: bytes) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(npy(header[:60_000], body))
    for read in (open_array, layout.open_features, layout.open_pixels):
        try:
            array = read(path)
        except HarnessError as error:
            one_line(error, "x.npy")
        else:
            assert array.nbytes <= path.stat().st_size
    read_history(path, [{"epoch": 0, "history": 1}])
    with pytest.raises(HarnessError, match=r"noise\.path"):
        IndexFile(rate=0.4, path=str(path)).corrupt(np.zeros(5, dtype=np.int64), np.random.default_rng(0))


def test_regions_that_differ_between_images_are_named(tmp_path: Path) -> None:
    ragged = np.empty(2, dtype=object)
    ragged[:] = [np.zeros((3, 4)), np.zeros((2, 4))]
    np.save(tmp_path / "x.npy", ragged)
    with pytest.raises(HarnessError, match=r"regions that differ between images.*pad or pool"):
        layout.open_features(tmp_path / "x.npy")


def network(path: Path) -> Backbone:
    backbone = VSEInfinity(5, 9, embed_dim=4, word_dim=4)
    save_backbone(path, backbone)
    assert load_backbone(path).configuration() == backbone.configuration()
    return backbone


GOOD = {"name": "vse_infinity", "region_dim": 5, "vocabulary_size": 9, "keywords": {"embed_dim": 4, "word_dim": 4}}


@pytest.mark.parametrize(
    "said",
    [
        "", "[]", "7", '"x"', "{", "[" * 100_000, json.dumps({**GOOD, "name": "unknown"}), json.dumps({"name": 3}),
        json.dumps({**GOOD, "region_dim": 10**12}), json.dumps({**GOOD, "vocabulary_size": -4}),
        json.dumps({**GOOD, "region_dim": "five"}), json.dumps({**GOOD, "region_dim": 6}),
        json.dumps({**GOOD, "keywords": {"embed_dim": 4, "word_dim": 4, "colour": 1}}),
        json.dumps({**GOOD, "keywords": {"embed_dim": 8, "word_dim": 4}}), json.dumps({**GOOD, "keywords": None}),
        json.dumps({**GOOD, "head": ["Linear", 10**11, 10**11]}), json.dumps({**GOOD, "head": ["Exec", "x"]}),
        json.dumps({**GOOD, "head": {"layers": 3}}),
    ],
)  # fmt: skip
def test_a_network_is_that_of_its_metadata_or_refused(tmp_path: Path, said: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(save(network(path).state_dict(), metadata={"backbone": said}))
    with pytest.raises(HarnessError, match=r"model\.safetensors") as caught:
        load_backbone(path)
    one_line(caught.value, "model.safetensors")


@pytest.mark.parametrize("damage", [b"", b"\xff" * 8 + b"{}", struct.pack("<Q", 10**12) + b"{}", b"{" * 500])
def test_a_header_of_safetensors_that_lies(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(damage)
    with pytest.raises(HarnessError, match=r"is not a readable \.safetensors file"):
        load_backbone(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    "said",
    [
        "[" * 100_000, '{"word2idx": ' + "[" * 100_000, "[]", "3", '{"word2idx": {"<pad>": 1e999}}',
        '{"word2idx": {"<pad>": [], "a": {}}}', '{"word2idx": {"<pad>": 0}}', '{"word2idx": null}', "\x00", "",
    ],
)  # fmt: skip
def test_a_vocabulary_that_lies(tmp_path: Path, said: str) -> None:
    path = tmp_path / "vocab.json"
    path.write_text(said)
    with pytest.raises(HarnessError, match="not a vocabulary") as caught:
        Vocabulary.load(path)
    one_line(caught.value, "vocab.json")


def signed(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode() + content


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"garbage" * 99, saved([1, 2])])
def test_a_signed_checkpoint_that_is_none_gives_way_to_the_one_before(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, {"step": 1})
    checkpoint.save(path, {"step": 2})
    path.write_bytes(signed(content))
    assert checkpoint.load(path) == {"step": 1}
    checkpoint.previous(path).write_bytes(signed(content))
    with pytest.raises(HarnessError, match="every checkpoint of this cell is damaged"):
        checkpoint.load(path)


def test_a_checkpoint_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").mkdir()
    with pytest.raises(HarnessError, match="is a folder; accepted: a checkpoint; move it away"):
        checkpoint.load(tmp_path / "checkpoint.pt")


DAMAGES: dict[str, Any] = {
    "position": {"piece": 0, "nowhere": 1}, "networks": [], "state": {"label": torch.zeros(3)}, "best": {"x": 1},
    "meters": {}, "data": {}, "plan": [{"captions": 3}],
}  # fmt: skip


@pytest.mark.parametrize("key", DAMAGES)
def test_a_whole_checkpoint_with_a_part_that_does_not_fit(
    key: str, tmp_path: Path, toy_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = begun(tmp_path, CRCL, toy_data, monkeypatch)
    state = checkpoint.load(cell.path("checkpoint.pt"))
    assert state is not None
    checkpoint.save(cell.path("checkpoint.pt"), {**state, key: DAMAGES[key]})
    assert work(cell, toy_data, Machine()) == "failed"
    said = (cell.failure() or {})["error"]
    assert "does not fit this run" in said
    assert "delete the folder" in said

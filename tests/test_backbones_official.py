"""Golden values of the official models, and official checkpoints read without trusting them."""

import argparse
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.backbones import BACKBONES
from harness.backbones.official import from_official, import_checkpoint, to_official
from harness.backbones.weights import load_backbone
from harness.errors import HarnessError

GOLDEN = {"vse_infinity": "vseinfty_forward", "saf": "saf_forward", "sgr": "sgr_forward"}
SMALL = {
    "vse_infinity": {"embed_dim": 8, "word_dim": 6, "gpo_dim": 4},
    "saf": {"embed_dim": 8, "word_dim": 6, "sim_dim": 5, "regions": 9},
    "sgr": {"embed_dim": 8, "word_dim": 6, "sim_dim": 5, "regions": 9, "graph_steps": 2},
}


def official_file(path: Path, tensors: dict[str, Tensor], **more: object) -> Path:
    """A file laid out as the released training code saves it."""
    parts: list[dict[str, Tensor]] = [{} for _ in range(3)]
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts[int(part)][rest] = tensor
    content = {
        "epoch": 7,
        "model": [part for part in parts if part],
        "best_rsum": np.float64(412.5),
        "opt": argparse.Namespace(data_name="f30k_precomp", schedules=[5, 5]),
        "Eiters": 99,
        **more,
    }
    torch.save(content, path)
    return path


def golden(shared: Path, name: str) -> tuple[dict[str, np.ndarray], dict[str, Tensor]]:
    with np.load(shared / "golden" / f"{GOLDEN[name]}.npz") as file:
        arrays = dict(file)
    prefix = "param."
    weights = {k.removeprefix(prefix): torch.from_numpy(v) for k, v in arrays.items() if k.startswith(prefix)}
    return arrays, weights


@pytest.mark.parametrize("name", GOLDEN)
def test_an_imported_checkpoint_meets_the_golden_values(name: str, shared: Path, tmp_path: Path) -> None:
    arrays, weights = golden(shared, name)
    summary = import_checkpoint(official_file(tmp_path / "m.pth.tar", weights), tmp_path / "m.safetensors")
    assert summary["backbone"] == name
    assert (summary["region_dim"], summary["vocabulary_size"], summary["embed_dim"]) == (24, 50, 16)
    assert (summary["epoch"], summary["best_rsum"]) == (7, 412.5)
    model = load_backbone(tmp_path / "m.safetensors")
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    regions = torch.from_numpy(arrays["regions"])
    tokens, lengths = torch.from_numpy(arrays["tokens"]), torch.from_numpy(arrays["lengths"])
    for mode in ("eval", "train"):
        model.train(mode == "train")
        images = model.encode_images(regions, torch.full((len(regions),), regions.shape[1]))
        texts = model.encode_texts(tokens, lengths)
        found = {
            "image_emb": images.values,
            "text_emb": texts.values,
            "sims": model.similarity(images, texts),
        }
        for what, value in found.items():
            expected = torch.from_numpy(arrays[f"{mode}.{what}"])
            torch.testing.assert_close(value, expected, atol=1e-5, rtol=0)
            # The scores of these small models lie close together: their differences must be right, too.
            torch.testing.assert_close(value - value.mean(), expected - expected.mean(), atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("name", SMALL)
def test_names_go_both_ways(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = BACKBONES[name](10, 12, **SMALL[name]).eval()
    theirs = to_official(name, model.state_dict())
    assert not set(theirs) & set(model.state_dict())
    back = from_official(name, theirs)
    assert {k: v.tolist() for k, v in back.items()} == {k: v.tolist() for k, v in model.state_dict().items()}
    prefixed = {f"{k[:2]}module.{k[2:]}": v for k, v in theirs.items()}  # as DataParallel saves it
    summary = import_checkpoint(official_file(tmp_path / "m.tar", prefixed), tmp_path / "m.safetensors")
    assert {k: summary[k] for k in SMALL[name]} == SMALL[name]
    assert summary["parameters"] == sum(p.numel() for p in model.parameters())
    again = load_backbone(tmp_path / "m.safetensors").state_dict()
    assert all(torch.equal(again[key], value) for key, value in model.state_dict().items())
    json.dumps(summary)


class Bomb:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path, legacy: bool) -> None:
    path, trace = tmp_path / "bomb.pth.tar", tmp_path / "it_ran"
    content = {"model": [{}, {}], "opt": Bomb(f"touch {trace}")}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(HarnessError, match=r"bomb.pth.tar: refused, its pickle asks for \S*system") as caught:
        import_checkpoint(path, tmp_path / "out.safetensors")
    assert "\n" not in str(caught.value)
    assert not trace.exists()
    assert not (tmp_path / "out.safetensors").exists()


def test_a_plain_pickle_is_refused(tmp_path: Path) -> None:
    path, trace = tmp_path / "plain.pth.tar", tmp_path / "it_ran"
    path.write_bytes(pickle.dumps(Bomb(f"touch {trace}")))
    with pytest.raises(HarnessError) as caught:
        import_checkpoint(path, tmp_path / "out.safetensors")
    assert "\n" not in str(caught.value)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weights": 1}, "has no list of state dicts under 'model'"),
        ([1, 2], "has no list of state dicts under 'model'"),
        ({"model": [1, 2]}, "part 0 of 'model' is not a state dict"),
        ({"model": [{"a.weight": torch.zeros(1)}]}, "not those of a known backbone; accepted: .*saf, sgr"),
        (
            {"model": [{"mlp.layers.0.weight": torch.zeros(1)}]},
            "not a whole official vse_infinity checkpoint",
        ),
    ],
)
def test_other_files_are_one_clear_line(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "other.tar"
    torch.save(content, path)
    with pytest.raises(HarnessError, match=message) as caught:
        import_checkpoint(path, tmp_path / "out.safetensors")
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_missing_damaged_and_incomplete_files(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="no such file"):
        import_checkpoint(tmp_path / "none.tar", tmp_path / "out")
    (tmp_path / "noise.tar").write_bytes(b"\x00not a checkpoint" * 50)
    with pytest.raises(HarnessError, match="cannot be read as a PyTorch checkpoint"):
        import_checkpoint(tmp_path / "noise.tar", tmp_path / "out")
    tensors = to_official("saf", BACKBONES["saf"](10, 12, **SMALL["saf"]).state_dict())
    del tensors["2.sim_eval_w.bias"]
    with pytest.raises(HarnessError, match=r"not a whole official saf checkpoint: .*score.bias"):
        import_checkpoint(official_file(tmp_path / "part.tar", tensors), tmp_path / "out")


def test_an_unknown_parameter_is_named() -> None:
    with pytest.raises(HarnessError, match=r"unknown parameter '0.fcc.weight'; did you mean '0.fc'"):
        from_official("saf", {"0.fcc.weight": torch.zeros(1)})

"""Official checkpoints (CRCL, VSE-infinity, SGRAF): their names for parameters, ours, and a safe way from one to the
other.

A checkpoint is a dict whose `model` is a list of state dicts: image encoder, text encoder and, for SAF and
SGR, similarity encoder. Official names here start with the number of their part: `0.fc.weight`.
"""

import argparse
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.backbones.base import Backbone
from harness.errors import HarnessError, suggest
from harness.spec import find

_VSE_INFINITY = {
    "0.fc": "regions_to_vectors.linear",
    "0.mlp.layers.0": "regions_to_vectors.hidden",
    "0.mlp.bns.0": "regions_to_vectors.norm",
    "0.mlp.layers.1": "regions_to_vectors.output",
    "0.gpool.gru": "image_pool.gru",
    "0.gpool.linear": "image_pool.score",
    "1.embed": "words_to_states.embedding",
    "1.rnn": "words_to_states.gru",
    "1.gpool.gru": "text_pool.gru",
    "1.gpool.linear": "text_pool.score",
}
_SGRAF = {
    "0.fc": "regions_to_vectors",
    "1.embed": "words_to_states.embedding",
    "1.cap_rnn": "words_to_states.gru",
    "2.v_global_w.embedding_local.0": "image_attention.local",
    "2.v_global_w.embedding_local.1": "image_attention.local_norm",
    "2.v_global_w.embedding_global.0": "image_attention.mean",
    "2.v_global_w.embedding_global.1": "image_attention.mean_norm",
    "2.v_global_w.embedding_common.0": "image_attention.common",
    "2.t_global_w.embedding_local.0": "text_attention.local",
    "2.t_global_w.embedding_global.0": "text_attention.mean",
    "2.t_global_w.embedding_common.0": "text_attention.common",
    "2.sim_tranloc_w": "local_alignment",
    "2.sim_tranglo_w": "global_alignment",
    "2.sim_eval_w": "score",
}
_SAF = _SGRAF | {"2.SAF_module.attn_sim_w": "filter", "2.SAF_module.bn": "filter_norm"}
_GRAPH = {"graph_query_w": "query", "graph_key_w": "key", "sim_graph_w": "output"}
_STEPS = 16  # more graph steps than anyone has published
_SGR = _SGRAF | {
    f"2.SGR_module.{step}.{theirs}": f"graph.{step}.{ours}" for step in range(_STEPS) for theirs, ours in _GRAPH.items()
}

NAMES: dict[str, dict[str, str]] = {"vse_infinity": _VSE_INFINITY, "saf": _SAF, "sgr": _SGR}
UNUSED_NORM = "0.mlp.bns.1"  # VSE-infinity's code creates, saves and never applies it


def from_official(backbone: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official parameters, named `<part>.<name>`, as a state dict of our `backbone`.

    Raises:
        HarnessError: a name that this backbone does not have.
    """
    names, ours = NAMES[backbone], {}
    for name, tensor in tensors.items():
        module, _, parameter = name.rpartition(".")
        if module == UNUSED_NORM:
            continue
        if module not in names:
            raise HarnessError(f"official {backbone}: unknown parameter {name!r}; {suggest(module, names)}")
        ours[f"{names[module]}.{parameter}"] = tensor
    return ours


def to_official(backbone: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `from_official`, the never applied BatchNorm in its initial state included."""
    names = {ours: theirs for theirs, ours in NAMES[backbone].items()}
    tensors = {}
    for name, tensor in state.items():
        module, _, parameter = name.rpartition(".")
        tensors[f"{names[module]}.{parameter}"] = tensor
    if backbone == "vse_infinity":
        norm = torch.nn.BatchNorm1d(len(tensors["0.fc.bias"])).state_dict()
        tensors.update({f"{UNUSED_NORM}.{name}": tensor for name, tensor in norm.items()})
    return tensors


def import_checkpoint(path: Path, out: Path) -> dict[str, Any]:
    """Write an official `model_best.pth.tar` as our safetensors, which `weights.load_backbone` reads.

    The file is unpickled with tensors, plain values, numpy scalars and `argparse.Namespace` alone; anything else in it
    is refused before it runs. Backbone and sizes are read off names and shapes; dropout, which leaves no trace in a
    checkpoint, gets our default. Nothing says which vocabulary it was trained with: evaluate on a dataset that has it.

    Returns:
        What was found: backbone, sizes, epoch and best rSum as the file has them, number of parameters, the new file.

    Raises:
        HarnessError: no such file, not a checkpoint, not one of a known backbone, or one that would run code.
    """
    from harness.backbones.weights import save_backbone

    checkpoint = _load(path)
    tensors = _parts(path, checkpoint)
    name, build = _recognise(path, tensors)
    state = from_official(name, tensors)
    backbone: Backbone = find("backbone", name)(build.pop("region_dim"), build.pop("vocabulary_size"), **build)
    try:
        backbone.load_state_dict(state)
    except RuntimeError as error:
        detail = "; ".join(line.strip() for line in str(error).splitlines()[1:3])
        raise HarnessError(f"{path}: is not a whole official {name} checkpoint: {detail}") from None
    save_backbone(out, backbone)
    found = {key: checkpoint[key] for key in ("epoch", "best_rsum") if key in checkpoint}
    return {
        "backbone": name,
        "region_dim": backbone.region_dim,
        "vocabulary_size": backbone.vocabulary_size,
        **build,
        **{key: value.item() if hasattr(value, "item") else value for key, value in found.items()},
        "parameters": sum(parameter.numel() for parameter in backbone.parameters()),
        "out": str(out),
    }


def _load(path: Path) -> dict[str, Any]:
    # numpy 1 and 2 call the constructor of a scalar (best_rsum may be one) by different names.
    scalar: Any = np.float64(0).__reduce__()[0]
    allowed: list[Any] = [
        argparse.Namespace,
        np.dtype,
        type(np.dtype(np.float64)),
        type(np.dtype(np.float32)),
    ]
    allowed += [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    try:
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old pickle protocols
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise HarnessError(f"{path}: no such file; name an official model_best.pth.tar") from None
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
        AttributeError,
    ) as error:
        if unsafe := re.search(r"GLOBAL ([\w.]+)|class ([\w.]+)", str(error)):
            raise HarnessError(
                f"{path}: refused, its pickle asks for {unsafe[1] or unsafe[2]}, which could run code; "
                "accepted: tensors, plain values, argparse.Namespace; save it again with only those"
            ) from None
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise HarnessError(f"{path}: cannot be read as a PyTorch checkpoint ({reason})") from None
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("model"), list | tuple):
        raise HarnessError(f"{path}: has no list of state dicts under 'model'; an official model_best.pth.tar has")
    return checkpoint


def _parts(path: Path, checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    tensors = {}
    for number, part in enumerate(checkpoint["model"]):
        if not isinstance(part, Mapping) or not all(isinstance(value, Tensor) for value in part.values()):
            raise HarnessError(f"{path}: part {number} of 'model' is not a state dict of tensors")
        for name, tensor in part.items():  # "module." is left by DataParallel
            tensors[f"{number}.{name.removeprefix('module.')}"] = tensor
    return tensors


def _recognise(path: Path, tensors: dict[str, Tensor]) -> tuple[str, dict[str, int]]:
    """The backbone's name, and its constructor's arguments from the shapes."""
    steps = {name.split(".")[2] for name in tensors if name.startswith("2.SGR_module.")}
    if "0.mlp.layers.0.weight" in tensors:
        name = "vse_infinity"
    elif steps:
        name = "sgr"
    elif "2.SAF_module.bn.weight" in tensors:
        name = "saf"
    else:
        raise HarnessError(
            f"{path}: its parameters are not those of a known backbone; accepted: official checkpoints of "
            f"{', '.join(NAMES)} over precomputed regions with a BiGRU text encoder"
        )
    try:
        embed_dim, region_dim = tensors["0.fc.weight"].shape
        vocabulary_size, word_dim = tensors["1.embed.weight"].shape
        build = {
            "region_dim": region_dim,
            "vocabulary_size": vocabulary_size,
            "embed_dim": embed_dim,
            "word_dim": word_dim,
        }
        if name == "vse_infinity":
            return name, build | {"gpo_dim": tensors["0.gpool.linear.weight"].shape[1]}
        build["sim_dim"] = len(tensors["2.sim_tranloc_w.weight"])
        build["regions"] = len(tensors["2.v_global_w.embedding_local.1.weight"])
        return name, build | ({"graph_steps": len(steps)} if steps else {})
    except (KeyError, ValueError, TypeError) as error:
        raise HarnessError(f"{path}: is not a whole official {name} checkpoint: {error}") from None

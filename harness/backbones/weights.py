"""A network in one file: weights, and what is needed to build it again. safetensors: no code inside."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from harness.backbones.base import Backbone
from harness.backbones.heads import build_head, describe_head
from harness.errors import HarnessError
from harness.files import write_atomic
from harness.spec import find, name_of


def save_backbone(path: Path, backbone: Backbone) -> None:
    """Write a network; `load_backbone` builds it again.

    Raises:
        HarnessError: its head was replaced by a module that cannot be described.
    """
    build = {
        "name": name_of("backbone", type(backbone)),
        "region_dim": backbone.region_dim,
        "vocabulary_size": backbone.vocabulary_size,
        "keywords": backbone.configuration(),
    }
    if backbone.head is not None and not backbone.own_head:
        build["head"] = describe_head(backbone.head)
    tensors = {key: value.detach().cpu().contiguous() for key, value in backbone.state_dict().items()}
    write_atomic(path, save(tensors, metadata={"backbone": json.dumps(build)}))


def save_networks(path: Path, backbones: Sequence[Backbone]) -> None:
    """The networks of a run, the first at `path`, the others beside it; `load_networks` reads them."""
    for number, backbone in enumerate(backbones):
        save_backbone(_place(path, number), backbone)


def load_networks(path: Path) -> list[Backbone]:
    """All networks of a run by the path of the first. They score together, by the mean of their similarities."""
    backbones = [load_backbone(path)]
    while _place(path, len(backbones)).exists():
        backbones.append(load_backbone(_place(path, len(backbones))))
    return backbones


def _place(path: Path, number: int) -> Path:
    """model.safetensors, model.1.safetensors, ..."""
    return path.with_name(f"{path.stem}.{number}{path.suffix}") if number else path


def load_backbone(path: Path) -> Backbone:
    """A network as `save_backbone` wrote it, on the CPU, in evaluation mode.

    Raises:
        HarnessError: no such file, not safetensors, not written by this project, or its backbone cannot be imported.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise HarnessError(f"{path}: is not a readable .safetensors file ({error})") from None
    if "backbone" not in metadata:
        raise HarnessError(f"{path}: has no backbone in its metadata; `harness data import-checkpoint` writes one")
    try:
        build = json.loads(metadata["backbone"])
        _refuse_larger(build, max(4096, *(side for tensor in tensors.values() for side in tensor.shape)))
        backbone: Backbone = find("backbone", build["name"])(
            build["region_dim"], build["vocabulary_size"], **build["keywords"]
        )
        if "head" in build:
            backbone.head = build_head(build["head"])
        backbone.load_state_dict(tensors)
    except HarnessError as error:
        raise HarnessError(f"{path}: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise HarnessError(
            f"{path}: its metadata do not describe its tensors ({type(error).__name__}: {said[:200]}); accepted: a "
            "file as training writes it, or as `harness data import-checkpoint` makes it; copy it again"
        ) from None
    return backbone.eval()


def _refuse_larger(build: Any, side: int) -> None:
    """ValueError where a number of the metadata is larger than `side`, the largest of its tensors or a usual width: a
    network that would not fit its file is not built, as it may not fit the memory either."""
    parts = list(build.values()) if isinstance(build, dict) else build if isinstance(build, list) else []
    if isinstance(build, int | float) and not -side <= build <= side:
        raise ValueError(f"{build:,} is larger than any size of its tensors, {side:,}")
    for part in parts:
        _refuse_larger(part, side)


def describe_network(path: Path) -> dict[str, Any]:
    """What a network's file says of how to build it, `name`, `region_dim`, `keywords`, ..., without its weights.

    Raises:
        HarnessError: as for `load_backbone`.
    """
    try:
        with safe_open(path, framework="np") as file:
            build: dict[str, Any] = json.loads((file.metadata() or {})["backbone"])
            return build
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise HarnessError(f"{path}: is no network of this project ({error})") from None

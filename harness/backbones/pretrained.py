"""A pre-trained CLIP in a folder or on the hub: its network, its tokens, how it scales pixels, and what it is.

`tiny-random` names one that needs no file: a small CLIP of fixed random weights over the bytes of a text.
transformers is imported when one is opened, not before.
"""

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from harness.backbones.base import Reader
from harness.errors import HarnessError
from harness.extras import require
from harness.seeds import seed_for

TINY = "tiny-random"
START, END = 257, 258  # of the tiny model's tokens; byte b is b + 1
TINY_POSITIONS = 48  # CLIP has 77
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's, of RGB in 0..1
ACCEPTED = f"accepted: the hub name or the local folder of a CLIP as transformers saves it, or {TINY}"

_ON_THE_HUB = re.compile(r"[\w.-]+(/[\w.-]+)?")
_COUNTED = (".json", ".txt", ".safetensors", ".bin", ".model")  # what of a folder decides tokens and embeddings


def folder_sha256(model: str) -> str:
    """Hex digest over names and bytes of a local folder's files; empty for a name on the hub and `tiny-random`."""
    if model == TINY or not Path(model).is_dir():
        return ""
    files = sorted(path for path in Path(model).iterdir() if path.suffix in _COUNTED and path.is_file())
    return _sha256(tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in files))


@cache
def _sha256(files: tuple[tuple[Path, int, int], ...]) -> str:
    whole = hashlib.sha256()
    for path, _size, _time in files:  # size and time are the cache's: a changed file is read again
        with open(path, "rb") as file:
            whole.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()


def refuse_other(model: str, sha256: str) -> None:
    """HarnessError where a folder no longer holds what a run was declared with."""
    found = folder_sha256(model)
    if sha256 and found != sha256:
        what = f"its sha256 is {found}" if found else "there is no such folder"
        raise HarnessError(
            f"backbone.model = {model}: {what}; accepted: backbone.sha256 = {sha256}; bring back the folder that was "
            "meant, or correct the digest"
        )


def load_network(model: str) -> Any:
    """A CLIPModel in float32 with its pre-trained weights, on the CPU.

    Raises:
        HarnessError: no such model, no CLIP, or weights are missing.
    """
    transformers = _transformers()
    if model == TINY:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for("backbone", "clip", TINY))
            return transformers.CLIPModel(_tiny_config(transformers))
    _config(model)
    try:
        network, report = transformers.CLIPModel.from_pretrained(model, output_loading_info=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise _unloadable(model, error) from None
    if lost := sorted(report["missing_keys"]):
        raise HarnessError(f"backbone.model = {model}: lacks {len(lost)} weights, first {lost[0]}; {ACCEPTED}")
    return network.float()


@cache
def load_reader(model: str) -> Reader:
    """The model's tokens, texts cut to as many as it has positions for.

    Raises:
        HarnessError: no such model, no CLIP, or its tokenizer does not fit its network.
    """
    if model == TINY:
        return Reader(_bytes, END + 1)
    transformers = _transformers()
    config = _config(model).text_config
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError, ImportError) as error:
        raise _unloadable(model, error) from None
    if len(tokenizer) > config.vocab_size:
        raise HarnessError(
            f"backbone.model = {model}: its tokenizer has {len(tokenizer)} tokens, its network {config.vocab_size}; "
            f"{ACCEPTED}"
        )

    def tokens(texts: Sequence[str]) -> list[list[int]]:
        coded = tokenizer(list(texts), truncation=True, max_length=config.max_position_embeddings)
        return list(coded["input_ids"])

    return Reader(tokens, config.vocab_size)


def load_scaling(model: str) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and deviation of RGB in 0..1 that pixels are normalised with; CLIP's own where no file says others."""
    if model == TINY:
        return MEAN, STD
    from transformers.image_processing_base import ImageProcessingMixin

    try:
        stated, _ = ImageProcessingMixin.get_image_processor_dict(model)
    except (OSError, ValueError):
        return MEAN, STD
    return stated.get("image_mean") or MEAN, stated.get("image_std") or STD


def _bytes(texts: Sequence[str]) -> list[list[int]]:
    longest = TINY_POSITIONS - 2
    return [[START, *(byte + 1 for byte in text.encode()[:longest]), END] for text in texts]


def _tiny_config(transformers: Any) -> Any:
    """So small that an epoch of the embedded benchmark takes seconds."""
    size = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    special = {"vocab_size": END + 1, "bos_token_id": START, "eos_token_id": END, "pad_token_id": 0}
    return transformers.CLIPConfig(
        text_config={**size, **special, "max_position_embeddings": TINY_POSITIONS},
        vision_config={**size, "image_size": 32, "patch_size": 8},
        projection_dim=64,
    )


def _config(model: str) -> Any:
    if not Path(model).is_dir() and not _ON_THE_HUB.fullmatch(model):
        raise HarnessError(f"backbone.model = {model}: there is no such folder; {ACCEPTED}")
    try:
        config = _transformers().AutoConfig.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise _unloadable(model, error) from None
    if config.model_type != "clip":
        raise HarnessError(f"backbone.model = {model}: is a {config.model_type}, no CLIP; {ACCEPTED}")
    return config


def _unloadable(model: str, error: Exception) -> HarnessError:
    reason = " ".join(str(error).split())[:200]
    return HarnessError(f"backbone.model = {model}: transformers cannot load it ({reason}); {ACCEPTED}")


def _transformers() -> Any:
    transformers = require("transformers", "backbone clip")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers

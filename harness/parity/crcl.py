"""What the official code of CRCL computes, and that of RCL, SGRAF and nltk: losses, backbones, metrics, tokens."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from harness.parity.reading import Comparison, Kind, arrays_of, cases, deviation
from harness.spec import make


def _crcl_step(path: Path) -> Iterator[Comparison]:
    from harness.methods.base import Progress
    from harness.methods.crcl import CRCL, active_loss
    from harness.methods.softmax import log_matching

    for case, arrays in cases(path):
        weight = case["complementary_weight"]
        method = CRCL(
            beta=case["beta"],
            tau=case["tau"],
            epsilon=case["epsilon"],
            freeze_epochs=case["frozen_epochs"],
            complementary_weight=weight,
        )
        scores = torch.tensor(arrays["sims"], requires_grad=True)
        labels = torch.tensor(arrays["labels_before"], dtype=torch.float32)
        batch = SimpleNamespace(pair_ids=torch.arange(len(labels)))
        progress = Progress(case["piece"], case["epoch"], step=0, steps_per_epoch=1)
        values = method.loss(scores, batch, {"label": labels}, progress)
        values["loss"].backward()
        active = active_loss(*log_matching(scores, case["tau"]), torch.ones(len(scores)))
        name = f"case {case['case']}: "
        yield Comparison(name + "loss", deviation(values["loss"], case["loss"]))
        yield Comparison(name + "active, all labels 1", deviation(active, case["active_mean_unweighted"]))
        complementary = values["loss_complementary"] / weight
        yield Comparison(name + "complementary", deviation(complementary, case["complementary_mean"]))
        yield Comparison(name + "gradient", deviation(scores.grad, arrays["grad_sims"]))
        yield Comparison(name + "stored labels", deviation(labels, arrays["labels_after"]))


def _baseline_losses(path: Path) -> Iterator[Comparison]:
    from harness.methods import Progress

    for case, arrays in cases(path, "b"):
        name = case["loss_name"]
        keywords = {key: case[key] for key in ("tau", "q", "margin") if key in case}
        if name.startswith("rcl_"):
            method = make("rcl", transform=name.removeprefix("rcl_"), **keywords)
        elif name == "triplet_hardest":
            method = make("triplet", warmup_epochs=0, **keywords)
        else:
            method = make({"triplet_sum": "sum_hinge"}.get(name, name), **keywords)
        scores = torch.tensor(arrays["sims"], requires_grad=True)
        batch = SimpleNamespace(pair_ids=torch.arange(len(scores)))
        loss = method.loss(scores, batch, {}, Progress(0, 0, 0, 1))["loss"]
        loss.backward()
        yield Comparison(f"{name}: loss", deviation(loss, case["loss"]))
        yield Comparison(f"{name}: gradient", deviation(scores.grad, arrays["grad_sims"]))


def _retrieval(path: Path) -> Iterator[Comparison]:
    from harness.evaluation.metrics import retrieval

    for case, arrays in cases(path, "m"):
        scores = torch.from_numpy(arrays["sims"])  # (images, captions)
        owner = torch.arange(len(scores)).repeat_interleave(case["captions_per_image"])
        values = retrieval(scores, owner)
        for way in ("i2t", "t2i"):
            for metric, expected in case[way].items():
                what = f"case {case['case']}: {way} {metric}"
                yield Comparison(what, deviation(values[f"{way}_{metric}"], expected))


def _tokens(path: Path) -> Iterator[Comparison]:
    """Deviation 1 for a caption whose tokens differ."""
    from harness.data.tokenizer import tokenize

    with open(path, encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            yield Comparison(repr(row["caption"]), float(tokenize(row["caption"]) != row["tokens"]))


def _forward(path: Path, *, backbone: str) -> Iterator[Comparison]:
    """Parameters of a small official model, one batch, and what it made of it in evaluation and in training."""
    from harness.backbones.official import from_official

    arrays = arrays_of(path)
    prefix = "param."
    weights = {
        name.removeprefix(prefix): torch.from_numpy(array) for name, array in arrays.items() if name.startswith(prefix)
    }
    regions = torch.from_numpy(arrays["regions"])  # (images, R, D)
    tokens, lengths = torch.from_numpy(arrays["tokens"]), torch.from_numpy(arrays["lengths"])
    words, word_dim = weights["1.embed.weight"].shape
    sizes: dict[str, Any] = {"embed_dim": len(weights["0.fc.weight"]), "word_dim": word_dim, "dropout": 0.0}
    if "2.sim_tranloc_w.weight" in weights:
        sizes.update(sim_dim=len(weights["2.sim_tranloc_w.weight"]), regions=regions.shape[1])
    if graph := {name.split(".")[2] for name in weights if name.startswith("2.SGR_module.")}:
        sizes["graph_steps"] = len(graph)

    for mode in ("eval", "train"):
        model = make(backbone, regions.shape[2], words, **sizes)
        model.load_state_dict(from_official(backbone, weights))
        model.train(mode == "train")
        with torch.no_grad():
            images = model.encode_images(regions, torch.full((len(regions),), regions.shape[1]))
            texts = model.encode_texts(tokens, lengths)
            scores = model.similarity(images, texts)
        for what, ours in (("image_emb", images.values), ("text_emb", texts.values), ("sims", scores)):
            yield Comparison(f"{mode}: {what}", deviation(ours, arrays[f"{mode}.{what}"]))


KINDS: dict[str, Kind] = {
    "crcl_step.npz": Kind(_crcl_step, described=True),
    "baseline_losses.npz": Kind(_baseline_losses, described=True),
    "retrieval.npz": Kind(_retrieval, tolerance=0.0, described=True),
    "tokens.jsonl": Kind(_tokens, tolerance=0.0),
    "vseinfty_forward.npz": Kind(partial(_forward, backbone="vse_infinity")),
    "saf_forward.npz": Kind(partial(_forward, backbone="saf")),
    "sgr_forward.npz": Kind(partial(_forward, backbone="sgr")),
}

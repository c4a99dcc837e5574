"""What the released code of GSC computes: a step, the end of an epoch, comparisons within a modality."""

from collections.abc import Iterator
from pathlib import Path

import torch

from harness.backbones.official import from_official
from harness.methods.gsc import contrastive_loss, observe, posterior_of, structure_loss, structures
from harness.parity.reading import Comparison, Kind, arrays_of, cases, deviation, double
from harness.spec import make


def _step(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}: "
        given = {key: double(arrays[key]).requires_grad_() for key in ("sims", "intra_images", "intra_texts")}
        labels = double(arrays["labels"])
        u, v = structures(given["intra_images"], given["intra_texts"], labels)
        contrastive = contrastive_loss(given["sims"], labels, case["tau"])
        structure = structure_loss(u, v, labels, case["tau_structure"])
        loss = contrastive + case["gamma"] * structure
        loss.backward()
        pred, topo = observe(given["sims"], u, v, case["tau"])
        yield Comparison(name + "contrastive", deviation(contrastive, case["contrastive_mean"]))
        yield Comparison(name + "structure", deviation(structure, case["structure_mean"]))
        yield Comparison(name + "loss", deviation(loss, case["loss"]))
        for key, tensor in given.items():
            yield Comparison(f"{name}gradient of {key}", deviation(tensor.grad, arrays[f"grad_{key}"]))
        yield Comparison(name + "preds", deviation(pred, arrays["preds"]))
        yield Comparison(name + "topos", deviation(topo, arrays["topos"]))


def _epoch(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name, beta = f"case {case['case']}: ", case["beta"]
        posterior = posterior_of(arrays["topos"])
        topo = beta * posterior + (1 - beta) * arrays["topo_targets_before"].astype(float)
        pred = beta * arrays["preds"].astype(float) + (1 - beta) * arrays["preds_targets_before"].astype(float)
        yield Comparison(name + "posterior", deviation(posterior, arrays["posterior"]))
        yield Comparison(name + "topo targets", deviation(topo, arrays["topo_targets"]))
        yield Comparison(name + "pred targets", deviation(pred, arrays["preds_targets"]))
        yield Comparison(name + "labels", deviation(topo.clip(max=pred), arrays["labels"]))


def _intra(path: Path) -> Iterator[Comparison]:
    arrays = arrays_of(path)
    weights = {
        name.removeprefix("param."): torch.from_numpy(array)
        for name, array in arrays.items()
        if name.startswith("param.")
    }
    regions = torch.from_numpy(arrays["regions"])
    words, word_dim = weights["1.embed.weight"].shape
    steps = {name.split(".")[2] for name in weights if name.startswith("2.SGR_module.")}
    sizes = {
        "embed_dim": len(weights["0.fc.weight"]),
        "word_dim": word_dim,
        "sim_dim": len(weights["2.sim_tranloc_w.weight"]),
        "regions": regions.shape[1],
        "graph_steps": len(steps),
        "dropout": 0.0,
    }
    for mode in ("eval", "train"):
        model = make("sgr", regions.shape[2], words, **sizes)
        model.load_state_dict(from_official("sgr", weights))
        model.train(mode == "train")
        with torch.no_grad():
            images = model.encode_images(regions, torch.full((len(regions),), regions.shape[1]))
            texts = model.encode_texts(torch.from_numpy(arrays["tokens"]), torch.from_numpy(arrays["lengths"]))
            found = {
                "image_emb": images.values,
                "text_emb": texts.values,
                "raw_sims": model.compare(images, texts),
                "intra_images": model.within(images, raw=True),
                "intra_texts": model.within(texts, raw=True),
            }
        for what, ours in found.items():
            yield Comparison(f"{mode}: {what}", deviation(ours, arrays[f"{mode}.{what}"]))


KINDS: dict[str, Kind] = {
    "gsc_step.npz": Kind(_step, described=True),
    "gsc_epoch.npz": Kind(_epoch, described=True),
    "gsc_intra.npz": Kind(_intra),
}

"""docs/scale.md: every table is computed here, from the code's own formulas and formats, and must stand in the page."""

import re
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from harness.backbones import BACKBONES, Backbone
from harness.bench import PAPER, SMALL
from harness.bench.flops import BOTH, step_flops
from harness.bench.stage import Stage
from harness.bench.table import markdown
from harness.data.batches import PairReader
from harness.data.descriptors import COMPONENTS
from harness.distributed import any_rank, share
from harness.evaluation.correspondence import label_report
from harness.methods import METHODS, Progress
from harness.methods.crcl import CRCL
from harness.noise import CaptionLevel
from harness.noise.similarity_dependent import _BLOCK
from harness.spec import Schedule
from harness.training import state
from harness.training.history import LabelHistory
from harness.training.machine import Machine
from harness.training.network import Network, backward
from harness.training.passes import score_pairs

PAGE = (Path(__file__).parents[1] / "docs" / "scale.md").read_text(encoding="utf-8")

# Assumed, as the page says.
RATE = 0.3 * 989e12  # FLOP/s of a GPU: 30 % of the H100 SXM data sheet's dense bf16
LINK = 50e9  # bytes/s that a GPU sends
WORDS = 14  # of a caption, with <start> and <end>
LETTERS = 63  # of a caption, one byte each
IDENTITY = 8  # letters of an image's id
# Measured, as the page says.
GATHER = 1.18e9  # bytes/s of float32 features that one thread copies out of the page cache
SAVE = 4.5  # CPU seconds for a GB of checkpoint
TOKENISED = 5360  # captions per CPU second
PERMUTED = 6.2e-8  # seconds a pair
REPORTED = 7.6e-8  # seconds a pair, for the report on the labels
COCO = 113_287  # images with which the two kinds of noise were measured
DEPENDENT, CATEGORY = 172.0, 7.0  # CPU seconds, at a rate of 60 %
ACROSS = 47.0 / 1_020_000**2  # CPU seconds, by the square of the captions that change places

# Bytes of a pair, or of one image; held against the code by the tests below.
LABEL, INDEX, FLAG, HISTORY, TOKEN, SCORE = 4, 8, 1, 2, 4, 4
TEXT, REFERENCE = 49, 8  # Python's header of a str of ASCII, and a place in a list
WEIGHT = 16  # of a parameter in a checkpoint: itself, AdamW's two averages, and itself in the best network
REGIONS, PIXELS, VECTOR = 4 * PAPER.regions * PAPER.region_dim, 224 * 224 * 3, 2 * 512


@dataclass(frozen=True)
class Set:
    """A data set, its training split as published."""

    name: str
    pairs: int
    images: int
    epochs: int = 34  # CRCL's for MS-COCO in experiments/coco_noise.toml


SETS = [
    Set("Flickr30K", 145_000, 29_000, sum(CRCL().pieces)),
    Set("MS-COCO", 566_435, 113_287),
    *(
        Set(name, pairs, pairs)
        for name, pairs in (
            ("CC3M", 3_318_333), ("CC12M", 12_423_374), ("LAION-400M", 413_000_000),
            ("LAION-2B (English)", 2_320_000_000), ("LAION-5B", 5_850_000_000),
        )
    ),
]  # fmt: skip
TITLES = {"vse_infinity": "VSE-infinity", "saf": "SAF", "sgr": "SGR", "clip": "CLIP ViT-B/32"}


def quantity(value: float, unit: str) -> str:
    """Three digits and a prefix: 979 GB."""
    for prefix, power in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= 0.9995 * power:
            return f"{digits(value / power)} {prefix}{unit}"
    return f"{digits(value)} {unit}"


def digits(value: float) -> str:
    """Three significant digits at least, no exponent."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.3g}"


def duration(seconds: float) -> str:
    for unit, length in (("years", 365 * 86400.0), ("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{digits(seconds / length)} {unit}"
    return f"{digits(seconds)} s" if seconds >= 1 else f"{digits(1000 * seconds)} ms"


@cache
def network(name: str) -> Backbone:
    """At the paper's sizes, without memory."""
    keywords: dict[str, Any] = {"embed_dim": PAPER.embed_dim, "word_dim": PAPER.word_dim}
    if name != "vse_infinity":
        keywords |= {"regions": PAPER.regions, "sim_dim": PAPER.sim_dim}
    with torch.device("meta"):
        return BACKBONES[name](PAPER.region_dim, PAPER.words, **keywords)


@cache
def clip() -> tuple[float, int]:
    """FLOPs of a pair's encoders, forward and backward, as torch counts them, and the number of parameters."""
    from transformers import CLIPConfig, CLIPModel

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = CLIPModel(CLIPConfig())
        pictures, tokens = torch.empty(2, 3, 224, 224), torch.zeros(2, WORDS, dtype=torch.int64)
        images = model.visual_projection(model.vision_model(pixel_values=pictures).pooler_output)
        texts = model.text_projection(model.text_model(input_ids=tokens).pooler_output)
        (images.sum() + texts.sum()).backward()
    return counter.get_total_flops() / 2, sum(p.numel() for p in model.parameters())


def flops(name: str, batch: int) -> float:
    """Of a step over `batch` pairs."""
    if name == "clip":
        return batch * clip()[0] + 2 * BOTH * batch**2 * 512
    return step_flops(network(name), PAPER.regions, [WORDS] * batch).total


def parameters(name: str) -> int:
    return clip()[1] if name == "clip" else sum(p.numel() for p in network(name).parameters())


def comparison(name: str) -> float:
    """FLOPs of comparing one image with one caption, forward: what of a step grows with the square of the batch."""
    batch = 1024
    return (flops(name, 2 * batch) - 2 * flops(name, batch)) / (2 * batch**2) / BOTH


def exchanged(name: str, batch: int) -> int:
    """Bytes that the ranks sum in a step: images and their gradient, scores and theirs, the network's gradient."""
    image = {"clip": 512, "vse_infinity": PAPER.embed_dim}.get(name, PAPER.regions * PAPER.embed_dim)
    return summed(batch, image, parameters(name))


def summed(batch: int, image: int, weights: int) -> int:
    return 2 * SCORE * batch * image + 2 * SCORE * batch**2 + SCORE * weights


# -- the tables ----------------------------------------------------------------------------------------------------


def sets() -> list[list[str]]:
    rows = [["", "pairs", "images", "steps an epoch at 128", "at 32,768", "regions float32", "float16",
             "pixels", "vectors"]]  # fmt: skip
    for one in SETS:
        sizes = [quantity(one.images * size, "B") for size in (REGIONS, REGIONS / 2, PIXELS, VECTOR)]
        steps = [f"{-(-one.pairs // batch):,}" for batch in (128, 32768)]
        rows.append([one.name, f"{one.pairs:,}", f"{one.images:,}", *steps, *sizes])
    return rows


def in_memory() -> list[list[str]]:
    rows = [["", "labels", "order", "pairing", "token numbers", "texts and ids", "sum", "8 processes"]]
    for one in SETS:
        text = one.pairs * (TEXT + LETTERS + REFERENCE) + one.images * (TEXT + IDENTITY + REFERENCE)
        pair = [LABEL, INDEX, 2 * INDEX + FLAG, WORDS * TOKEN + INDEX]
        parts = [*(one.pairs * size for size in pair), text]
        rows.append([one.name, *(quantity(size, "B") for size in (*parts, sum(parts), 8 * sum(parts)))])
    return rows


def on_disk() -> list[list[str]]:
    rows = [["", "epochs", "label_history.npy", "pairs.npz", "noise.npy", "labels.npy", "labels in a checkpoint",
             "time to save them"]]  # fmt: skip
    for one in SETS:
        sizes = [one.epochs * HISTORY, 2 * SCORE + FLAG, INDEX, LABEL, LABEL]
        files = [quantity(one.pairs * size, "B") for size in sizes]
        rows.append([one.name, str(one.epochs), *files, duration(one.pairs * LABEL / 1e9 * SAVE)])
    return rows


def per_pair() -> list[list[str]]:
    rows = [["GFLOP a pair, batch of", *TITLES.values()]]
    for batch in (128, 1024, 8192, 65536):
        rows.append([f"{batch:,}", *(digits(flops(name, batch) / batch / 1e9) for name in TITLES)])
    return rows


def feeding() -> list[list[str]]:
    rows = [["", "pairs/s at 297 TFLOP/s", "float32 regions", "float16", "pixels", "threads to copy it"]]
    for name, title in TITLES.items():
        speed = RATE / (flops(name, 128) / 128)
        one = PIXELS if name == "clip" else REGIONS
        needs = [quantity(speed * size, "B/s") for size in (REGIONS, REGIONS / 2)]
        needs = ["", "", quantity(speed * PIXELS, "B/s")] if name == "clip" else [*needs, ""]
        rows.append([title, f"{speed:,.0f}", *needs, digits(speed * one / GATHER)])
    return rows


def gpu_hours() -> list[list[str]]:
    rows = [["GPU hours", "pair views", *TITLES.values(), "SGR, batch of 8,192", "one thread reads regions"]]
    for one in SETS:
        views = one.pairs * one.epochs
        times = [views * flops(name, 128) / 128 / RATE for name in TITLES]
        times += [views * flops("sgr", 8192) / 8192 / RATE, views * REGIONS / GATHER]
        rows.append([one.name, quantity(views, "").strip(), *(digits(seconds / 3600) for seconds in times)])
    return rows


def exchange() -> list[list[str]]:
    rows = [["", "GPUs", "pairs each", "batch", "compute", "sent by a GPU", "time to send", "send / compute",
             "gain over one GPU", "largest tensor"]]  # fmt: skip
    for name, title in TITLES.items():
        for gpus, each in ((8, 16), (8, 128), (64, 128), (512, 128)):
            batch = gpus * each
            sent = 2 * (gpus - 1) / gpus * exchanged(name, batch)
            compute = flops(name, batch) / gpus / RATE
            largest = SCORE * batch**2
            if name in ("saf", "sgr"):
                largest = max(largest, SCORE * batch * each * (WORDS + 1) * PAPER.sim_dim)
            rows.append(
                [
                    title, str(gpus), str(each), f"{batch:,}", duration(compute), quantity(sent, "B"),
                    duration(sent / LINK), digits(sent / LINK / compute),
                    digits(gpus * compute / (compute + sent / LINK)), quantity(largest, "B"),
                ]
            )  # fmt: skip
    return rows


def exchange_changed() -> list[list[str]]:
    rows = [["", "GPUs", "pairs each", "batch", "compute", "sent by a GPU", "time to send", "send / compute",
             "gain over one GPU"]]  # fmt: skip
    for name, title in TITLES.items():
        for gpus, each in ((64, 128), (512, 128), (512, 512)):
            batch = gpus * each
            image = {"clip": 512, "vse_infinity": PAPER.embed_dim}.get(name, PAPER.regions * PAPER.embed_dim)
            sent = (gpus - 1) / gpus * (4 * batch * image + 2 * SCORE * parameters(name))
            compute = flops(name, batch) / gpus / RATE
            rows.append([title, str(gpus), str(each), f"{batch:,}", duration(compute), quantity(sent, "B"),
                         duration(sent / LINK), digits(sent / LINK / compute),
                         digits(gpus * compute / (compute + sent / LINK))])  # fmt: skip
    return rows


def content_noise() -> list[list[str]]:
    rows = [["", "similarity_dependent", "its block of cosines", "category_level, within", "exchange across",
             "means of regions", "descriptors"]]  # fmt: skip
    for one in SETS[1:]:
        cosines = one.images * one.pairs / (COCO * 5 * COCO)
        sizes = [quantity(one.images * 4 * size, "B") for size in (_BLOCK, PAPER.region_dim, COMPONENTS)]
        rows.append([one.name, duration(DEPENDENT * cosines), sizes[0], duration(CATEGORY * one.images / COCO),
                     duration(ACROSS * (0.6 * one.pairs) ** 2), *sizes[1:]])  # fmt: skip
    return rows


def evaluation() -> list[list[str]]:
    rows = [["images x captions", "matrix", *TITLES.values()]]
    for images, captions in ((1000, 5000), (5000, 25000), (100_000, 100_000), (3_318_333, 3_318_333)):
        times = [duration(images * captions * comparison(name) / RATE) for name in TITLES]
        rows.append([f"{images:,} x {captions:,}", quantity(images * captions * SCORE, "B"), *times])
    return rows


def passes() -> list[list[str]]:
    rows = [["", "tokenise, once", "permutation, an epoch", "report on the labels, an epoch", "its memory"]]
    for one in SETS:
        seconds = [one.pairs / TOKENISED, one.pairs * PERMUTED, one.pairs * REPORTED]
        rows.append([one.name, *map(duration, seconds), quantity(33.6 * one.pairs, "B")])
    return rows


TABLES: list[Callable[[], list[list[str]]]] = [
    sets, in_memory, on_disk, passes, per_pair, feeding, gpu_hours, exchange, exchange_changed, evaluation,
    content_noise,
]  # fmt: skip


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_the_table_stands_in_the_page(table: Callable[[], list[list[str]]]) -> None:
    assert markdown(table()) in PAGE


def test_what_the_sentences_say() -> None:
    """Figures in the running text."""
    own = {name: (flops(name, 128) / 128) / RATE for name in ("vse_infinity", "clip")}  # seconds of a pair
    most = {name: LINK * own[name] / (4 * size) for name, size in (("vse_infinity", PAPER.embed_dim), ("clip", 512))}
    image = 4 * PAPER.regions * PAPER.embed_dim  # bytes
    fewest = {name: image / LINK / (BOTH * comparison(name) / RATE) for name in ("saf", "sgr")}
    gradient = 2 * SCORE * parameters("clip") / LINK / own["clip"]
    checkpoints = [f"{quantity(WEIGHT * parameters(name), 'B')} for {title}" for name, title in TITLES.items()]
    disk = SETS[2].pairs * REGIONS / 3e9  # seconds an epoch
    sgr = SETS[-1].pairs * SETS[-1].epochs * flops("sgr", 8192) / 8192 / RATE
    for text in (
        ", ".join(checkpoints), f"{duration(sgr)} of one GPU", f"at most {most['vse_infinity']:.0f} GPUs",
        f"{digits(most['clip'])} GPUs", f"{fewest['saf']:.0f} pairs (SAF)", f"{fewest['sgr']:.0f} pairs (SGR)",
        f"{gradient:.0f} pairs a GPU", f"{quantity(comparison('sgr'), 'FLOP')} (SGR)",
        f"{quantity(comparison('saf'), 'FLOP')} (SAF)", f"{SETS[4].pairs // 128 // 20:,} samples",
        f"{quantity((51_201 * 300) * WEIGHT, 'B')} of a checkpoint",
        f"{duration(SETS[-1].pairs * own['clip'] / 512)} an epoch",
        f"{quantity(512 * PIXELS / own['clip'], 'B/s')} of pixels",
        f"{disk / 60:.1f} minutes for CC3M's 979 GB, {34 * disk / 3600:.1f} hours",
        f"{flops('sgr', 8192) / 8192 / (flops('sgr', 128) / 128):.0f} times as much as at 128",
        f"{quantity(LABEL * SETS[-1].pairs / 512, 'B')} each",
    ):  # fmt: skip
        assert text in " ".join(PAGE.split()), text


def test_what_breaks_first_is_told_with_figures_of_the_tables() -> None:
    known = {cell for table in TABLES for row in table() for cell in row}
    told = re.findall(r"\d[\d.]* [kMGTP]B", PAGE[PAGE.index("## 7.") : PAGE.index("Smaller things")])
    assert len(told) >= 8
    assert set(told) <= known


def test_every_file_and_function_named_is_there() -> None:
    root = Path(__file__).parents[1]
    named = re.findall(r"`(harness/[\w/]+\.py)(?::([\w.]+))?`", PAGE)
    assert len(named) > 15
    for file, function in named:
        source = (root / file).read_text(encoding="utf-8")
        for part in filter(None, function.split(".")):
            assert re.search(rf"^ *(def|class) {part}\b", source, flags=re.MULTILINE), f"{file}:{function}"


# -- the bytes they are made of ------------------------------------------------------------------------------------


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, SMALL)


def reader_of(stage: Stage) -> PairReader:
    split = stage.split("train")
    paired = CaptionLevel(rate=0.4).corrupt(split.image_of_caption, np.random.default_rng(0))
    return PairReader(split, paired)


def small(name: str) -> Backbone:
    sizes = SMALL
    keywords: dict[str, Any] = {"embed_dim": sizes.embed_dim, "word_dim": sizes.word_dim}
    if name != "vse_infinity":
        keywords |= {"regions": sizes.regions, "sim_dim": sizes.sim_dim}
    return BACKBONES[name](sizes.region_dim, sizes.words, **keywords)


def test_bytes_of_a_pair(stage: Stage, tmp_path: Path) -> None:
    reader = reader_of(stage)
    split, pairs = reader.split, len(reader)
    assert state.declared({"label": 1.0}, 1, torch.device("cpu"))["label"].own.element_size() == LABEL
    assert (split.captions.ids.itemsize, split.captions.offsets.itemsize) == (TOKEN, INDEX)
    assert (split.image_of_caption.itemsize, reader.paired_image.itemsize) == (INDEX, INDEX)
    assert sys.getsizeof("a" * LETTERS) == TEXT + LETTERS
    history = LabelHistory(tmp_path / "history.npy", 3, pairs)
    history.write(2, np.ones(pairs, dtype=np.float32))
    assert np.load(history.path).nbytes == 3 * pairs * HISTORY
    clean = reader.paired_image == split.image_of_caption
    seen = score_pairs(
        [small("vse_infinity")], reader, clean, batch_size=16, seed=0, device=torch.device("cpu"), tau=None
    )
    assert sum(array.nbytes for array in seen.values()) == pairs * (2 * SCORE + FLAG)


def test_bytes_of_a_parameter() -> None:
    model = small("vse_infinity")
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    averages = sum(t.numel() * t.element_size() for s in optimizer.state.values() for t in s.values() if t.dim())
    own = sum(p.numel() * p.element_size() for p in model.parameters())
    assert 2 * own + averages == WEIGHT * sum(p.numel() for p in model.parameters())


def test_memory_of_the_report_on_labels() -> None:
    rng = np.random.default_rng(0)
    labels, clean = rng.random(200_000, dtype=np.float32), rng.random(200_000) < 0.6
    tracemalloc.start()
    label_report(labels, clean)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / len(labels) == pytest.approx(33.6, rel=0.02)


def test_a_recipe_must_see_a_pair_more_than_its_frozen_epochs() -> None:
    with pytest.raises(Exception, match="epochs corrects no label"):
        CRCL(pieces=(2,)).phases(None, 1000)


@pytest.mark.parametrize("name", ["vse_infinity", "saf", "sgr"])
def test_what_a_step_exchanges(name: str, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of rank 0 of 4, whose exchanges reach nobody and are written down."""
    sums: list[Tensor] = []
    for call, answer in {"is_initialized": True, "get_world_size": 4, "get_rank": 0}.items():
        monkeypatch.setattr(torch.distributed, call, lambda *_, answer=answer: answer)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda values, *_: sums.append(values))
    reader, model = reader_of(stage), small(name).train()
    batch = reader.read(np.arange(16), None, share(16))
    labels = state.declared({"label": 1.0}, len(reader), torch.device("cpu"))
    scores = Network(model, {}, Schedule(), Machine()).scores(batch)
    values = METHODS["crcl"]().loss(scores, batch, labels, Progress(0, 0, 0, 1))
    backward(values["loss"], list(model.parameters()))
    any_rank(False)

    image = SMALL.embed_dim * (1 if name == "vse_infinity" else SMALL.regions)
    weights = sum(p.numel() for p in model.parameters() if p.grad is not None)
    large = summed(16, image, weights)
    found = [t.numel() * t.element_size() for t in sums]
    lengths, label, flag = 8 * 16, LABEL * 16, 4
    rest = sum(found) - large - lengths - label - flag  # pooling tables, statistics of a normalisation
    assert 0 <= rest <= 2 * SCORE * 16 * SMALL.sim_dim
    assert 8 <= len(found) <= 12

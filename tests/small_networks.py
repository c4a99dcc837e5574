"""Small networks in doubles, with weights that spread their scores, and batches for them."""

import torch
from torch import Tensor

from harness.backbones import BACKBONES, CLIP, Backbone, Encoded

R, D, WORDS, PLACES = 7, 11, 23, 9
SIZES = {
    "vse_infinity": {"embed_dim": 8, "word_dim": 5, "gpo_dim": 6},
    "saf": {"embed_dim": 8, "word_dim": 5, "sim_dim": 6, "regions": PLACES, "dropout": 0.0},
    "sgr": {"embed_dim": 8, "word_dim": 5, "sim_dim": 6, "regions": PLACES, "dropout": 0.0},
}
Batch = tuple[Tensor, Tensor, Tensor, Tensor]


def model(name: str, **keywords: object) -> Backbone:
    """Weights larger than at the start of training, so that scores spread and a wrong term shows."""
    torch.manual_seed(1)
    backbone = BACKBONES[name](D, WORDS, **{**SIZES[name], **keywords}).double()
    with torch.no_grad():
        for key, parameter in backbone.named_parameters():
            if "embedding" not in key:
                parameter.mul_(1.5).add_(0.1 * torch.randn_like(parameter))
            else:
                parameter.mul_(10)
    return backbone


def batch(images: int, captions: int, *, drop: bool = False) -> Batch:
    torch.manual_seed(2)
    regions = torch.randn(images, R, D, dtype=torch.double)
    region_lengths = torch.randint(1, R + 1, (images,)) if drop else torch.full((images,), R)
    lengths = torch.randint(1, 8, (captions,))
    tokens = torch.randint(1, WORDS, (captions, 7)) * (torch.arange(7) < lengths[:, None])
    return regions, region_lengths, tokens, lengths


def batch_of_vectors(images: int, captions: int) -> Batch:
    """Images and captions that have any number of vectors, captions vectors of WORDS numbers."""
    regions, region_lengths, _, lengths = batch(images, captions, drop=True)
    return regions, region_lengths, torch.randn(captions, 7, WORDS, dtype=torch.double), lengths


def clip_and_batch(pairs: int) -> tuple[CLIP, Batch]:
    """The tiny CLIP, in doubles."""
    reader = CLIP.reader(model="tiny-random", sha256="")
    coded = reader.tokenise(["a cat", "the red dog", "", "on the mat", "word"][:pairs])
    lengths = torch.tensor([len(each) for each in coded])
    tokens = torch.zeros(pairs, int(lengths.max()), dtype=torch.long)
    for row, each in enumerate(coded):
        tokens[row, : len(each)] = torch.tensor(each)
    pixels = torch.randint(0, 256, (pairs, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    clip = CLIP(32, reader.vocabulary_size, model="tiny-random").double()
    return clip, (pixels, torch.full((pairs,), 32), tokens, lengths)


def encoded(backbone: Backbone, data: Batch) -> tuple[Encoded, Encoded]:
    regions, region_lengths, tokens, lengths = data
    return backbone.encode_images(regions, region_lengths), backbone.encode_texts(tokens, lengths)


def scores(backbone: Backbone, data: Batch) -> Tensor:
    return backbone.similarity(*encoded(backbone, data))

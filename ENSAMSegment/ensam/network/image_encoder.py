"""The SegResNet image encoder. It never sees a prompt, so its features serve every click in a window."""

from __future__ import annotations

from torch import Tensor, nn

from ensam.network.config import NetworkConfig
from ensam.network.layers import GroupNorm, ResidualBlock, convolution


class ImageEncoder(nn.Module):
    """Residual levels, each but the first entered by a strided convolution (paper, its encoder).

    What a strided convolution gives is normalised (ours): blocks add to it, and in a stream that grows from
    level to level theirs is lost, as nearly all that the deep levels computed was without.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.stem = convolution(1, config.widths[0])
        self.levels = nn.ModuleList()
        previous = None
        for width, count in zip(config.widths, config.blocks, strict=True):
            layers: list[nn.Module] = []
            if previous is not None:
                layers = [convolution(previous, width, stride=2), GroupNorm(width, config.groups)]
            layers += [ResidualBlock(width, config.groups) for _ in range(count)]
            self.levels.append(nn.Sequential(*layers))
            previous = width
        self.norm = GroupNorm(config.widths[-1], config.groups)

    def forward(self, image: Tensor) -> list[Tensor]:
        """image (N, 1, Z, Y, X) in 0..1, axes multiples of the stride -> features by level, finest first."""
        x = self.stem(image)
        features = []
        for level in self.levels:
            x = level(x)
            features.append(x)
        features[-1] = self.norm(features[-1])
        return features

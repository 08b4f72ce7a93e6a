"""Attention over a feature map: channel, spatial, and both in turn (Woo et al., CBAM, 2018)."""

import torch
from torch import nn


class ChannelAttention(nn.Module):
    """Weighs channels by their mean and maximum over the map. (n, c, h, w) to the same shape."""

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        hidden = max(8, channels // reduction)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = torch.sigmoid(self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3))))
        return x * weight[:, :, None, None]


class SpatialAttention(nn.Module):
    """Weighs places by the mean and maximum over channels. (n, c, h, w) to the same shape."""

    def __init__(self, kernel: int = 7):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.conv(seen))


def build_attention(kind: str, channels: int) -> nn.Module:
    """``kind``: none, spatial, channel or cbam."""
    return {
        "none": nn.Identity,
        "spatial": SpatialAttention,
        "channel": lambda: ChannelAttention(channels),
        "cbam": lambda: nn.Sequential(ChannelAttention(channels), SpatialAttention()),
    }[kind]()

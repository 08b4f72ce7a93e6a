"""Mask R-CNN's small masks back into the photo."""

from collections.abc import Sequence

import numpy as np
import torch


def paste_mask(
    mask: torch.Tensor, xyxy: Sequence[float], size: tuple[int, int], threshold: float = 0.5
) -> tuple[tuple[int, int, int, int], np.ndarray] | None:
    """The pixels of the photo where ``mask``, stretched over a box, is at least ``threshold``.

    mask: float (m, m), probabilities, cell (0, 0) at the box's upper left. xyxy: the box, px of the photo, fractions
    allowed. size: (h, w) of the photo. Bilinear between the cells' centres; between the outermost centres and the
    box's edge their value holds (torchvision fades it to 0 there, which pares half a cell off every product). Returns
    the tight box, whole px, exclusive end, and the mask in it, bool; None where no pixel is left. Computed on the
    mask's device.
    """
    rows, top = _weights(xyxy[1], xyxy[3], size[0], mask)
    columns, left = _weights(xyxy[0], xyxy[2], size[1], mask)
    inside = (rows @ mask.float() @ columns.T) >= threshold
    inside = inside.cpu().numpy()
    ys, xs = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(ys):
        return None
    y0, y1, x0, x1 = ys[0], ys[-1] + 1, xs[0], xs[-1] + 1
    box = (left + int(x0), top + int(y0), left + int(x1), top + int(y1))
    return box, np.ascontiguousarray(inside[y0:y1, x0:x1])


def _weights(low: float, high: float, length: int, mask: torch.Tensor) -> tuple[torch.Tensor, int]:
    """float32 (n, m): the share of each of m cells at each of the n pixels whose centre lies in [low, high); and the
    first of these pixels. A box narrower than a pixel is widened to the pixel it lies in."""
    cells, device = mask.shape[-1], mask.device
    begin, end = max(round(low), 0), min(round(high), length)
    if end <= begin:
        begin = min(max(int((low + high) / 2), 0), length - 1)
        end = begin + 1
    pixels = torch.arange(begin, end, device=device) + 0.5
    at = ((pixels - low) / max(high - low, 1e-6) * cells - 0.5).clamp(0, cells - 1)
    away = (at[:, None] - torch.arange(cells, device=device)).abs()
    return (1 - away).clamp(min=0), begin

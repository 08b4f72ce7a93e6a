"""Instances cut from photos as one batch of 4-channel crops: RGB and the mask, resampled together.

Two cutters, one result (a test compares them): on a CPU cv2, crop by crop into one array; on a GPU `roi_align` over
the photos on the device. Both take the same integer square around the box; outside the photo lies GROUND, mask 0.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torchvision.ops import roi_align

from ..datasets.transforms import GROUND
from ..seg.segments import Segment


def square_around(xyxy: Sequence[float], grow: float) -> tuple[int, int, int]:
    """The square that a crop shows: (x0, y0, side) in whole px, around the box's centre, its side the longer side of
    the box times ``1 + 2 * grow``. It may reach outside the photo."""
    x0, y0, x1, y1 = xyxy
    side = max(1, round(max(x1 - x0, y1 - y0) * (1 + 2 * grow)))
    return round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2), side


def cut_crops(
    images: Sequence[np.ndarray],
    segments: Sequence[Segment],
    owner: Sequence[int],
    size_px: int,
    grow: float,
    device: str | torch.device = "cpu",
) -> torch.Tensor:
    """Cut ``segments`` from ``images``.

    images: uint8 (h, w, 3) RGB of any sizes. owner[i]: the position in ``images`` of the photo that segments[i] lies
    in. Returns uint8 (n, 4, size_px, size_px) on ``device``: RGB, and the mask as 0..255 (its share of the pixel).
    """
    device = torch.device(device)
    if not len(segments):
        return torch.zeros((0, 4, size_px, size_px), dtype=torch.uint8, device=device)
    if device.type == "cpu":
        crops = [cut_one(images[i], segment, size_px, grow) for i, segment in zip(owner, segments, strict=True)]
        return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
    return _cut_on_device(images, segments, owner, size_px, grow, device)


def cut_one(image: np.ndarray, segment: Segment, size_px: int, grow: float) -> np.ndarray:
    """One crop by cv2: uint8 (size_px, size_px, 4)."""
    x0, y0, side = square_around(segment.xyxy, grow)
    height, width = image.shape[:2]
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x0 + side, width), min(y0 + side, height)
    # Area averaging keeps weave from turning into moire; enlarging with it would give blocks.
    how = cv2.INTER_AREA if side > size_px else cv2.INTER_LINEAR
    rgb = image[top:bottom, left:right]
    borders = (top - y0, y0 + side - bottom, left - x0, x0 + side - right)
    if any(borders):
        rgb = cv2.copyMakeBorder(rgb, *borders, cv2.BORDER_CONSTANT, value=GROUND)
    mask = np.zeros((side, side), np.uint8)
    bx0, by0, bx1, by1 = segment.xyxy
    # The square always covers the box along its longer side, up to rounding: clip to be safe for grow = 0.
    sx0, sy0, sx1, sy1 = max(bx0, x0), max(by0, y0), min(bx1, x0 + side), min(by1, y0 + side)
    mask[sy0 - y0 : sy1 - y0, sx0 - x0 : sx1 - x0] = segment.mask[sy0 - by0 : sy1 - by0, sx0 - bx0 : sx1 - bx0]
    mask *= 255
    crop = np.empty((size_px, size_px, 4), np.uint8)
    crop[..., :3] = cv2.resize(rgb, (size_px, size_px), interpolation=how)
    crop[..., 3] = cv2.resize(mask, (size_px, size_px), interpolation=how)
    return crop


def _cut_on_device(images, segments, owner, size_px, grow, device) -> torch.Tensor:
    crops = torch.empty((len(segments), 4, size_px, size_px), dtype=torch.uint8, device=device)
    ground = torch.tensor(GROUND, dtype=torch.float32, device=device).view(1, 3, 1, 1)
    for i, image in enumerate(images):
        rows = [row for row, of in enumerate(owner) if of == i]
        if not rows:
            continue
        photo = torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1)[None].float() - ground
        photo = F.pad(photo, (1, 1, 1, 1))  # roi_align repeats the rim for one px; the zeros must begin at the edge
        squares = [square_around(segments[row].xyxy, grow) for row in rows]
        boxes = torch.tensor([[x, y, x + side, y + side] for x, y, side in squares], dtype=torch.float32, device=device)
        rgb = roi_align(photo, [boxes + 1], size_px, sampling_ratio=-1, aligned=True) + ground
        for k, row in enumerate(rows):
            x, y = segments[row].xyxy[:2]
            mask = torch.from_numpy(segments[row].mask).to(device)[None, None].float() * 255
            shifted = boxes[k : k + 1] + 1 - torch.tensor([x, y, x, y], dtype=torch.float32, device=device)
            alpha = roi_align(F.pad(mask, (1, 1, 1, 1)), [shifted], size_px, sampling_ratio=-1, aligned=True)
            crops[row] = torch.cat([rgb[k], alpha[0]]).round_().clamp_(0, 255).to(torch.uint8)
    return crops

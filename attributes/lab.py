"""sRGB to CIE Lab on tensors, and the histogram of the pixels under a mask."""

import torch
import torch.nn.functional as F

# sRGB (D65) to XYZ, IEC 61966-2-1, rows divided by the white point (0.95047, 1, 1.08883).
_XYZ = (
    (0.412453 / 0.950456, 0.357580 / 0.950456, 0.180423 / 0.950456),
    (0.212671, 0.715160, 0.072169),
    (0.019334 / 1.088754, 0.119193 / 1.088754, 0.950227 / 1.088754),
)
_AB_RANGE = 70.0  # |a|, |b| beyond it are as saturated as fabric gets


def rgb_to_lab(rgb: torch.Tensor) -> torch.Tensor:
    """(..., 3, h, w) float sRGB in 0..1 to Lab: L 0..100, a and b about -110..110 (CIE 1976, D65)."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)
    xyz = torch.einsum("ij,...jhw->...ihw", torch.tensor(_XYZ, dtype=rgb.dtype, device=rgb.device), linear)
    f = torch.where(xyz > (6 / 29) ** 3, xyz.clamp(min=1e-6) ** (1 / 3), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f.unbind(-3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -3)


def masked_lab_histogram(crops: torch.Tensor, bins: tuple[int, int, int]) -> torch.Tensor:
    """Square roots of a Lab histogram's shares (Hellinger), so that small colours still count.

    crops: uint8 (n, 4, s, s), RGB and mask 0..255. Returns float32 (n, bins L * bins a * bins b); an empty mask
    counts the whole crop. Halved in size first: colours, not texture.
    """
    small = F.avg_pool2d(crops.float() / 255, 2)
    lab = rgb_to_lab(small[:, :3]).flatten(2)
    weight = small[:, 3].flatten(1)
    weight = torch.where(weight.sum(1, keepdim=True) > 0, weight, 1.0)
    light = (lab[:, 0] / 100 * bins[0]).long().clamp(0, bins[0] - 1)
    # The square root spreads the greyish colours, where most names meet, over more bins.
    chroma = (lab[:, 1:] / _AB_RANGE).clamp(-1, 1)
    chroma = chroma.sign() * chroma.abs().sqrt()
    a, b = (((chroma[:, i] + 1) / 2 * bins[i + 1]).long().clamp(0, bins[i + 1] - 1) for i in (0, 1))
    index = (light * bins[1] + a) * bins[2] + b
    histogram = crops.new_zeros((len(crops), bins[0] * bins[1] * bins[2]), dtype=torch.float32)
    histogram.scatter_add_(1, index, weight)
    return (histogram / weight.sum(1, keepdim=True)).sqrt()


_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
STATISTICS = 2 * 4 * (len(_QUANTILES) + 2)  # length of masked_lab_statistics


def masked_lab_statistics(crops: torch.Tensor) -> torch.Tensor:
    """Quantiles (5, 25, 50, 75, 95 %), mean and deviation of L, a, b and chroma, inside the mask and outside of it.

    crops: uint8 (n, 4, s, s), RGB and mask 0..255. Returns float32 (n, 56). A region without a pixel counts the whole
    crop. At a quarter of the size: colours, not texture.
    """
    small = F.avg_pool2d(crops.float() / 255, 4)
    lab = rgb_to_lab(small[:, :3]).flatten(2)
    lab = torch.cat([lab, lab[:, 1:].norm(dim=1, keepdim=True)], 1)
    ordered, order = lab.sort(dim=2)
    inside = small[:, 3].flatten(1)
    found = []
    for weight in (inside * (inside > 0.9), (1 - inside) * (inside < 0.1)):
        weight = torch.where(weight.sum(1, keepdim=True) > 0, weight, 1.0)
        weight = (weight / weight.sum(1, keepdim=True))[:, None].expand_as(lab)
        mean = (lab * weight).sum(2)
        deviation = ((lab - mean[..., None]) ** 2 * weight).sum(2).sqrt()
        reached = weight.gather(2, order).cumsum(2).contiguous()
        wanted = reached.new_tensor(_QUANTILES).expand(*reached.shape[:2], -1).contiguous()
        at = torch.searchsorted(reached, wanted).clamp(max=reached.shape[2] - 1)
        found += [ordered.gather(2, at).flatten(1), mean, deviation]
    return torch.cat(found, 1)

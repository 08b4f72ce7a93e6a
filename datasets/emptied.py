"""A photo without its products: the ground where they were is quilted from patches of the ground around them.

After Efros & Freeman, Image Quilting for Texture Synthesis and Transfer, 2001, with patches placed from the rim of the
hole inwards as in Criminisi et al., Region Filling and Object Removal by Exemplar-Based Image Inpainting, 2004.
"""

import cv2
import numpy as np

_COARSE = 4  # patches are compared at a quarter of the size
_PATCH = 10  # px there
_CANDIDATES = 400
_RIM = 0.025  # of the longest side: soft outlines and contact shadows go with the product


def emptied(rgb: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """uint8 (h, w, 3) ``rgb`` with the pixels of ``mask`` (uint8 (h, w), not 0 = product) and a rim about them filled
    by ground. None where too little ground is seen to fill it from. Best at a longest side of 300 to 600 px; heights
    and widths that are no multiple of 4 lose up to 3 px."""
    height, width = (side // _COARSE * _COARSE for side in mask.shape)
    if min(height, width) < 2 * _PATCH * _COARSE:
        return None
    reach = 2 * max(2, round(_RIM * max(height, width))) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    hole = cv2.dilate((mask[:height, :width] > 0).astype(np.uint8), disc)
    quilt = _Quilt(np.ascontiguousarray(rgb[:height, :width]), hole, rng)
    if not quilt.enough:
        return None
    while (spot := quilt.next_spot()) is not None:
        quilt.fill(*spot, rng)
    return quilt.picture()


class _Quilt:
    """The picture while it is filled, as its difference from ``light``, the smooth course of the ground's colours:
    ``fine`` at its size, ``coarse`` at a quarter, ``known``: which coarse pixels are ground already."""

    def __init__(self, rgb: np.ndarray, hole: np.ndarray, rng: np.random.Generator):
        size = (rgb.shape[1] // _COARSE, rgb.shape[0] // _COARSE)
        small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        self.known = (cv2.resize(hole * 255, size, interpolation=cv2.INTER_AREA) == 0).astype(np.float32)
        tops = np.argwhere(_share(self.known) > 0.999)
        self.sources = tops[rng.permutation(len(tops))[:_CANDIDATES]]
        self.enough = len(tops) >= _PATCH * _PATCH
        if not self.enough:
            return
        smooth = _smooth(small, self.known)
        self.light = cv2.resize(smooth, rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        self.fine = rgb - self.light
        self.original = self.fine.copy()
        self.coarse = (small - smooth) * self.known[..., None]
        patches = np.stack([self.coarse[y : y + _PATCH, x : x + _PATCH] for y, x in self.sources])
        self.patches = np.concatenate([patches, patches[:, :, ::-1]]).reshape(2 * len(patches), -1)  # mirrored ones too
        self.squares = (self.patches.reshape(len(self.patches), -1, 3) ** 2).sum(2)

    def next_spot(self) -> tuple[int, int] | None:
        """(y, x) of the coarse patch to fill next: among those that have something to fill, one that is known well."""
        if self.known.all():
            return None
        share = _share(self.known)
        # One that lacks only a sliver would be filled for nothing: three quarters known is the best.
        rank = np.where(share < 0.999, np.minimum(share, 0.75) - 0.5 * np.maximum(share - 0.75, 0), -1)
        y, x = np.unravel_index(int(rank.argmax()), rank.shape)
        return int(y), int(x)

    def fill(self, y: int, x: int, rng: np.random.Generator) -> None:
        """Lay one of the three patches that fit best (sum of squares over what is known)."""
        coarse, known = (a[y : y + _PATCH, x : x + _PATCH] for a in (self.coarse, self.known))
        apart = self.squares @ known.ravel() - 2 * self.patches @ coarse.ravel()  # unknown pixels are 0 in `coarse`
        chosen = int(rng.choice(np.argpartition(apart, 3)[:3]))
        self._blend(y, x, chosen, known)
        patch = self.patches[chosen].reshape(_PATCH, _PATCH, 3)
        coarse[:] = np.where(known[..., None] > 0, coarse, patch)
        known[:] = 1

    def _blend(self, y: int, x: int, chosen: int, known: np.ndarray) -> None:
        side, (sy, sx) = _PATCH * _COARSE, self.sources[chosen % len(self.sources)] * _COARSE
        source = self.original[sy : sy + side, sx : sx + side]
        if chosen >= len(self.sources):
            source = source[:, ::-1]
        new = cv2.resize(1 - known, (side, side), interpolation=cv2.INTER_NEAREST)
        # The seam lies a little inside what is known, and fades over a few pixels.
        alpha = np.maximum(cv2.blur(cv2.dilate(new, np.ones((7, 7), np.uint8)), (7, 7)), new)[..., None]
        region = self.fine[y * _COARSE : y * _COARSE + side, x * _COARSE : x * _COARSE + side]
        region += alpha * (source - region)

    def picture(self) -> np.ndarray:
        return np.clip(self.fine + self.light + 0.5, 0, 255).astype(np.uint8)


def _share(known: np.ndarray) -> np.ndarray:
    """Of every whole patch, by its top left, the share that is known."""
    share = cv2.boxFilter(known, -1, (_PATCH, _PATCH), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    return share[: known.shape[0] - _PATCH + 1, : known.shape[1] - _PATCH + 1]


def _smooth(small: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The mean of the known colours near by, float32 (h, w, 3); far inside a hole, of those farther away."""
    side = max(known.shape)
    colours, weight = small * known[..., None], known
    near, near_weight = (cv2.GaussianBlur(a, (0, 0), side / 12) for a in (colours, weight))
    far, far_weight = (cv2.GaussianBlur(a, (0, 0), side / 3) for a in (colours, weight))
    return (near + 0.03 * far) / (near_weight + 0.03 * far_weight + 1e-6)[..., None]

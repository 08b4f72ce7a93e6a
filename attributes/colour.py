"""The colours of a product as they are in the photo: modes of the Lab histogram under its mask."""

from dataclasses import dataclass

import cv2
import numpy as np

from ..datasets.errors import InputError

_BIN = np.array([5.0, 4.0, 4.0])  # width of a histogram bin along L, a, b
_SIGMA_BINS = (2.0, 1.3)  # smoothing along L and along a, b
_MOST_PIXELS = 30_000
_LEAST_SHARE = 0.03  # less is a button, a label, a reflection
_LIGHTNESS_WEIGHT = 0.5  # folds and shading move L, so a difference of L counts for less than one of hue
_WEIGHTED_BIN = _BIN * (_LIGHTNESS_WEIGHT, 1, 1)
_CREST = 16.0  # how far from its mode, in weighted distance, pixels have a say in a colour
_WIDE = 19.0  # weighted distance of its halves' means from which one mode is two colours
_SAME = 9.0  # weighted distance below which two modes are one colour
_SHADING = 20.0  # ... and below which they are one if the histogram hardly sinks between them
_SADDLE = 0.5


@dataclass(frozen=True)
class Swatch:
    """One colour of a palette: ``hex`` "#rrggbb" (sRGB), ``share`` of the product's area, 0..1."""

    hex: str
    share: float


def palette(rgb: np.ndarray, mask: np.ndarray, max_colours: int = 5) -> list[Swatch]:
    """The dominant colours under a mask, largest share first; the shares add up to at most 1.

    rgb: uint8 (h, w, 3). mask: (h, w), not 0 = inside. Pixels at the mask's rim are left out where enough remain: ground
    bleeds into them. Every colour is the mean of the pixels about one mode of the smoothed Lab histogram (CIELAB, D65).
    Modes that differ by shading alone are one; one too wide to be a single colour is halved. Colours below 3 % are left
    out. An empty mask gives []. Raises InputError where the shapes do not fit.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or mask.shape != rgb.shape[:2]:
        raise InputError(
            f"an image of shape {rgb.shape} ({rgb.dtype}) and a mask of shape {mask.shape}; "
            "expected uint8 (h, w, 3) and (h, w)"
        )
    inside = np.flatnonzero(_without_rim(mask))
    if not len(inside):
        return []
    if len(inside) > _MOST_PIXELS:
        # At random, since a fixed step could fall in step with stripes; seeded, so that the result is always the same.
        inside = inside[np.random.default_rng(0).integers(0, len(inside), _MOST_PIXELS)]
    pixels = np.ascontiguousarray(rgb).reshape(-1, 3)[inside]
    bins, counts, sums = _histogram(pixels)
    density, shape, low = _smooth(bins, counts)
    places = bins - low
    swatches = []
    for mode, members in _merge(_climb(places, density, shape), density, shape):
        for centre, some in _split(mode, members, places, counts, low):
            share = counts[some].sum() / len(pixels)
            if share >= _LEAST_SHARE:
                # About the centre alone, so that the colour stays whether or not a shade of it was merged.
                near = np.exp(-0.5 * ((places[some] - centre) * _WEIGHTED_BIN / _CREST) ** 2).prod(axis=1)
                mean = near @ sums[some] / (near @ counts[some])
                swatches.append(Swatch("#{:02x}{:02x}{:02x}".format(*np.round(mean).astype(int)), float(share)))
    return sorted(swatches, key=lambda swatch: -swatch.share)[:max_colours]


def _without_rim(mask: np.ndarray) -> np.ndarray:
    """bool (h, w): the mask without its outermost pixels, where at least half of it remains."""
    inside = np.ascontiguousarray(mask != 0).view(np.uint8)
    rim_px = max(1, round(0.01 * np.sqrt(np.count_nonzero(inside))))
    core = cv2.erode(inside, np.ones((3, 3), np.uint8), iterations=rim_px)
    return (core if 2 * np.count_nonzero(core) >= np.count_nonzero(inside) else inside).view(bool)


def _histogram(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Occupied bins: their positions int64 (n, 3) of L, a, b; pixel counts (n,); sums of RGB float64 (n, 3)."""
    lab = cv2.cvtColor(pixels[None], cv2.COLOR_RGB2LAB)[0]  # uint8: L * 255 / 100, a + 128, b + 128
    tables = [(np.arange(256) * (100 / 255) / _BIN[0]).astype(np.int64)]
    tables += [(np.arange(256) / width).astype(np.int64) for width in _BIN[1:]]
    flat = (tables[0][lab[:, 0]] * 64 + tables[1][lab[:, 1]]) * 64 + tables[2][lab[:, 2]]
    counts = np.bincount(flat)
    occupied = np.flatnonzero(counts)
    sums = [np.bincount(flat, channel)[occupied] for channel in pixels.T.astype(np.float64)]
    bins = np.stack([occupied // 4096, occupied // 64 % 64, occupied % 64], axis=1)
    return bins, counts[occupied].astype(np.float64), np.stack(sums, axis=1)


def _smooth(bins: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, tuple[int, int, int], np.ndarray]:
    """The histogram smoothed by a Gaussian, flattened float32, over the occupied range with a margin; the range's shape
    and its first bin."""
    margin = 5
    low = bins.min(axis=0) - margin
    shape = tuple(int(n) for n in bins.max(axis=0) + margin + 1 - low)
    grid = np.zeros(shape, np.float32)
    grid.ravel()[_flat(bins - low, shape)] = counts
    lightness, chroma = _SIGMA_BINS
    grid = cv2.GaussianBlur(grid.reshape(shape[0], -1), (1, 11), sigmaX=0.1, sigmaY=lightness)
    # Lightness as the channels of an image over a and b.
    image = np.ascontiguousarray(np.moveaxis(grid.reshape(shape), 0, 2))
    image = cv2.GaussianBlur(image, (9, 9), chroma)
    return np.ascontiguousarray(np.moveaxis(image.reshape(*shape[1:], -1), 2, 0)).ravel(), shape, low


def _flat(bins: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    return (bins[..., 0] * shape[1] + bins[..., 1]) * shape[2] + bins[..., 2]


def _climb(bins: np.ndarray, density: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """For each occupied bin the flat index of the mode that steepest ascent over the 26 neighbours leads to."""
    steps = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    # Itself first, so that a plateau stays where it is.
    offsets = _flat(steps[np.argsort(np.abs(steps).sum(axis=1), kind="stable")], shape)
    here = _flat(bins, shape)
    while True:
        neighbours = here[:, None] + offsets
        after = neighbours[np.arange(len(here)), density[neighbours].argmax(axis=1)]
        if np.array_equal(after, here):
            return here
        here = after


def _merge(
    mode_of: np.ndarray, density: np.ndarray, shape: tuple[int, int, int]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The colours: each the place of its highest mode, float64 (3,) in bins, and the positions among the occupied bins
    of all that belong to it."""
    modes, owner = np.unique(mode_of, return_inverse=True)
    order = np.argsort(-density[modes], kind="stable")
    places = np.stack(np.unravel_index(modes, shape), axis=1).astype(np.float64)
    leader = np.arange(len(modes))
    for rank, i in enumerate(order):
        for j in order[:rank]:
            if leader[j] == j and _one_colour(places[i], places[j], density, shape):
                leader[i] = j
                break
    return [(places[i], np.flatnonzero(leader[owner] == i)) for i in np.unique(leader)]


def _split(mode, members, places, counts, low) -> list[tuple[np.ndarray, np.ndarray]]:
    """The colour itself, or its two halves where it is too wide to be one: a fine pattern of black and white has most
    of its pixels in between, and one mode there. Halves by Otsu's threshold along the principal axis. What is less than a
    quarter of the product is left whole: there a wide mode is rims and mixtures."""
    if counts[members].sum() < 0.25 * counts.sum():
        return [(mode, members)]
    weights, points = counts[members], places[members] * _WEIGHTED_BIN
    centred = points - weights @ points / weights.sum()
    axis = np.linalg.eigh((centred * weights[:, None]).T @ centred)[1][:, -1]
    along = centred @ axis
    order = np.argsort(along, kind="stable")
    below = np.cumsum(weights[order])[:-1]
    above = weights.sum() - below
    moment = np.cumsum((weights * along)[order])[:-1]
    if not len(below):
        return [(mode, members)]
    best = int(np.argmax(moment**2 / (below * above)))  # Otsu: the largest variance between the halves
    apart = abs(moment[best]) * (1 / below[best] + 1 / above[best])
    chroma = np.hypot(*((mode + low + 0.5) * _BIN - (0, 128, 128))[1:])
    # The eye, too, tells saturated colours apart less finely: CIE94's weight 1 + 0.015 C.
    if apart < _WIDE * (1 + 0.015 * chroma):
        return [(mode, members)]
    halves = members[order[: best + 1]], members[order[best + 1 :]]
    return [(counts[half] @ places[half] / counts[half].sum(), half) for half in halves]


def _one_colour(place: np.ndarray, other: np.ndarray, density: np.ndarray, shape: tuple[int, int, int]) -> bool:
    distance = np.sqrt((((place - other) * _WEIGHTED_BIN) ** 2).sum())
    if distance < _SAME:
        return True
    if distance > _SHADING:
        return False
    line = place + (other - place) * np.linspace(0, 1, 12)[:, None]
    between = density[_flat(np.round(line).astype(np.int64), shape)]
    return bool(between.min() >= _SADDLE * min(between[0], between[-1]))

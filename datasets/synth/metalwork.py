"""Jewellery as it looks: bodies made of spheres and domes, seen from above, in metal or pearl; cut stones on top."""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from .noise import NOISE_PX, noise_tile
from .paint import Light

METAL, PEARL = 0, 1
FINISHES = ("polished", "matte", "hammered")
METAL_RGB: dict[str, tuple[int, int, int]] = {
    "gold": (236, 184, 74),
    "rose gold": (226, 150, 124),
    "silver": (206, 210, 216),
    "black steel": (58, 60, 66),
}
STONE_RGB: dict[str, tuple[int, int, int]] = {
    "diamond": (214, 224, 236),
    "ruby": (196, 16, 48),
    "sapphire": (24, 56, 190),
    "emerald": (12, 140, 82),
}
PEARL_RGB = (246, 236, 226)
_FINER = 2  # drawn at this many times the picture's resolution, then averaged
_DIMPLE_PX = 16  # mean distance of dimples in their tile
# Brightness of polished metal by how far its surface leans to the light (-1 away ... 1 towards): strips of light and the
# dark between them, as a studio's lamps are reflected. Above 1 the colour turns white.
_POLISHED = (
    (-1.0, -0.86, -0.74, -0.60, -0.25, 0.0, 0.22, 0.36, 0.54, 0.66, 0.85, 1.0),
    (0.30, 0.55, 1.05, 0.55, 0.40, 0.62, 0.80, 1.30, 1.40, 0.75, 0.50, 0.70),
)


class Cut(NamedTuple):
    """A cut stone seen from above: ``stone`` a key of STONE_RGB, centre (x, y), half its width and its height over
    its width; ``stepped``: the rectangular emerald cut, else a brilliant. Lengths in one unit, ``turn`` in rad."""

    stone: str
    centre: tuple[float, float]
    half: float
    aspect: float
    stepped: bool
    turn: float


class Rendered(NamedTuple):
    """``rgb`` uint8 (h, w, 3); ``alpha`` float32 (h, w), how much of each pixel is covered; ``box`` xyxy px."""

    rgb: np.ndarray
    alpha: np.ndarray
    box: tuple[int, int, int, int]


def render_jewel(
    rng: np.random.Generator,
    caps: np.ndarray,
    cuts: list[Cut],
    metal: str,
    finish: str,
    dimple: float,
    light: Light,
    size_px: int,
) -> Rendered:
    """Draw a jewel that lies in the picture, at least in part.

    caps: float (n, 9), a row a sphere: centre x, y, z (z towards the viewer), radius, the distance from its axis up to
    which it is there (its radius: the whole sphere; less: a dome), METAL or PEARL, and the unit direction of the wire
    that it is a bit of (0, 0, 0: of none). Lengths, those of ``cuts`` and ``dimple`` (mean distance of hammer marks)
    included, in pixels of a picture of ``size_px`` squared.
    """
    low = np.floor((caps[:, :2] - caps[:, 4:5]).min(0)).astype(int) - 2
    high = np.ceil((caps[:, :2] + caps[:, 4:5]).max(0)).astype(int) + 2
    x0, y0 = np.maximum(low, 0)
    x1, y1 = np.minimum(high, size_px)
    fine = caps.astype(np.float32)
    fine[:, :2] -= (x0, y0)
    fine[:, :5] *= _FINER
    owner, cover = _surface(fine, ((y1 - y0) * _FINER, (x1 - x0) * _FINER))
    rgb = np.zeros((*cover.shape, 3), np.float32)
    y, x = np.nonzero(cover)
    rgb[y, x] = _shaded(rng, x, y, fine.T[:, owner[y, x]], metal, finish, dimple * _FINER, light)
    for cut in cuts:
        moved = (cut.centre[0] - x0) * _FINER, (cut.centre[1] - y0) * _FINER
        _cut_stone(rng, rgb, cover, cut._replace(centre=moved, half=cut.half * _FINER), light)
    size = int(x1 - x0), int(y1 - y0)
    alpha = cv2.resize(cover, size, interpolation=cv2.INTER_AREA)
    # Colours are averaged over what is covered, or a rim of the empty canvas would show.
    rgb = cv2.resize(rgb * cover[..., None], size, interpolation=cv2.INTER_AREA)
    rgb /= np.maximum(alpha, 1e-3)[..., None]
    return Rendered(cv2.convertScaleAbs(rgb), alpha, (int(x0), int(y0), int(x1), int(y1)))


def _surface(caps: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """What is seen from above: the row of ``caps`` that is on top, int32 (h, w), and how much of each pixel is covered,
    float32 (h, w)."""
    height, width = shape
    top = np.full(shape, -np.inf, np.float32)
    owner = np.zeros(shape, np.int32)
    cover = np.zeros(shape, np.float32)
    grid = np.arange(max(shape), dtype=np.float32) + np.float32(0.5)
    for i, (x, y, z, radius, reach) in enumerate(caps[:, :5].tolist()):
        left, right = max(int(x - reach - 1), 0), min(int(x + reach + 2), width)
        upper, lower = max(int(y - reach - 1), 0), min(int(y + reach + 2), height)
        if left >= right or upper >= lower:
            continue
        window = (slice(upper, lower), slice(left, right))
        d2 = np.square(grid[left:right] - x) + np.square(grid[upper:lower] - y)[:, None]
        np.maximum(cover[window], reach + 0.5 - np.sqrt(d2), out=cover[window])
        lifted = np.sqrt(np.maximum(radius * radius - d2, 0)) + z
        # A little beyond the rim, so that the half-covered pixels there belong to somebody too.
        better = (d2 < (reach + 1) ** 2) & (lifted > top[window])
        np.copyto(top[window], lifted, where=better)
        np.copyto(owner[window], i, where=better)
    return owner, np.clip(cover, 0, 1, out=cover)


@lru_cache(maxsize=1)
def _dimples() -> np.ndarray:
    """Hammer marks, float32 (2, NOISE_PX, NOISE_PX), periodic: from each pixel the way (x, y) to the middle of its mark, in
    halves of the mean distance of marks."""
    rng = np.random.default_rng(79)
    across = NOISE_PX // _DIMPLE_PX
    cells = np.stack(np.meshgrid(np.arange(across), np.arange(across)), -1).reshape(-1, 2)
    seeds = (cells + 0.5 + rng.uniform(-0.34, 0.34, cells.shape)) * _DIMPLE_PX
    nearest = np.full((NOISE_PX, NOISE_PX), np.inf)
    way = np.zeros((NOISE_PX, NOISE_PX, 2), np.float32)
    reach = np.arange(-2 * _DIMPLE_PX, 2 * _DIMPLE_PX)
    for x, y in seeds:
        columns, rows = int(x) + reach, int(y) + reach
        window = np.ix_(rows % NOISE_PX, columns % NOISE_PX)
        apart = np.stack(np.broadcast_arrays(x - columns - 0.5, (y - rows - 0.5)[:, None]), -1)
        closer = (distance := (apart**2).sum(-1)) < nearest[window]
        nearest[window] = np.where(closer, distance, nearest[window])
        way[window] = np.where(closer[..., None], apart, way[window])
    return np.ascontiguousarray(np.moveaxis(way, 2, 0)) / np.float32(_DIMPLE_PX / 2)


def _shaded(
    rng: np.random.Generator,
    x: np.ndarray,
    y: np.ndarray,
    caps: np.ndarray,
    metal: str,
    finish: str,
    dimple: float,
    light: Light,
) -> np.ndarray:
    """Metal and pearl in the light: float32 (n, 3). x, y: int (n,) pixels; caps: float32 (9, n), what is seen there."""
    half = np.float32(0.5)
    nx, ny = (x.astype(np.float32) + half - caps[0]) / caps[3], (y.astype(np.float32) + half - caps[1]) / caps[3]
    normals = np.stack([nx, ny, np.sqrt(np.maximum(1 - nx**2 - ny**2, 0))])
    # A wire is smooth along its way, though it is drawn as a string of balls.
    normals -= (normals * caps[6:]).sum(0) * caps[6:]
    nx, ny, _ = normals / np.maximum(np.sqrt((normals**2).sum(0)), 1e-3)
    lx, ly = (np.float32(part) for part in light.direction)
    pearl = caps[5] == PEARL
    rgb = np.empty((len(x), 3), np.float32)
    if pearl.any():
        rgb[pearl] = _pearly(nx[pearl], ny[pearl], (lx, ly))
    start = rng.integers(0, NOISE_PX, 2)
    if finish == "hammered":
        zoom = _DIMPLE_PX / dimple
        rows, columns = ((at * zoom + s).astype(np.int32) % NOISE_PX for at, s in zip((y, x), start, strict=True))
        marks = half * _dimples()[:, rows, columns]
        nx, ny = nx + marks[0], ny + marks[1]
    towards, along = _towards(nx, ny, (lx, ly)), nx * ly - ny * lx
    if finish == "matte":
        grain = noise_tile(NOISE_PX, 3.2, 1.0, 80)[(y + start[0]) % NOISE_PX, (x + start[1]) % NOISE_PX]
        bright = 0.74 + 0.32 * towards - 0.16 * along**2 + 0.05 * grain
    else:
        bright = np.interp(towards, *_POLISHED).astype(np.float32) * (1.06 - 0.3 * np.minimum(along**2, 1))
    base = np.array(METAL_RGB[metal], np.float32) * np.float32(1 + rng.normal(0, 0.03))
    rgb[~pearl] = _lit(bright[~pearl], base)
    return rgb


def _towards(nx: np.ndarray, ny: np.ndarray, light: tuple[np.float32, np.float32]) -> np.ndarray:
    """How far a surface leans to the light, -1 ... 1. Lamps stand high: one that lies flat leans to it a little."""
    return np.float32(0.9) * (nx * light[0] + ny * light[1]) + np.float32(0.12)


def _pearly(nx: np.ndarray, ny: np.ndarray, light: tuple[np.float32, np.float32]) -> np.ndarray:
    """Pearl: a soft body, rosy on one side and greenish on the other, and the lamp in it; float32 (n, 3)."""
    spot = np.exp(-((nx - 0.4 * light[0]) ** 2 + (ny - 0.4 * light[1]) ** 2) / 0.04)
    bright = 0.96 + 0.2 * _towards(nx, ny, light) - 0.45 * (nx**2 + ny**2) ** 2 + 0.6 * spot
    return _lit(bright, np.array(PEARL_RGB, np.float32) + nx[:, None] * np.array([10, -8, 2], np.float32))


def _lit(bright: np.ndarray, base: np.ndarray) -> np.ndarray:
    """A colour (3,) or (n, 3) at brightness (n,): above 1 it turns white; float32 (n, 3) in 0..255."""
    rgb = np.clip(bright, 0.05, 1)[:, None] * base
    return rgb + (255 - rgb) * np.clip(1.6 * (bright - 1), 0, 1)[:, None]


def _cut_stone(rng: np.random.Generator, rgb: np.ndarray, cover: np.ndarray, cut: Cut, light: Light) -> None:
    """Paint the facets, each as bright as it happens to reflect."""
    cosine, sine = np.cos(cut.turn), np.sin(cut.turn)
    turn = np.array([[cosine, sine], [-sine, cosine]]) * cut.half
    base = np.array(STONE_RGB[cut.stone], np.float32)
    facets = _stepped(cut.aspect) if cut.stepped else _brilliant(cut.aspect)
    for points, lean in facets:
        pixels = points @ turn + cut.centre
        towards = (lean @ turn @ np.array(light.direction)) / cut.half
        bright = 0.72 + 0.35 * towards + rng.normal(0, 0.22)
        if rng.random() < 0.12:
            bright += 0.7  # a flash
        colour = _lit(np.array([max(bright, 0.22)], np.float32), base)[0]
        outline = np.round(pixels * 16).astype(np.int32)[:, None]
        cv2.fillPoly(rgb, [outline], [float(c) for c in colour], cv2.LINE_AA, 4)
        cv2.fillPoly(cover, [outline], 1.0, cv2.LINE_AA, 4)


def _brilliant(aspect: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Facets of a round or oval brilliant of half width 1: outlines (n, 2) and which way each leans, (2,)."""
    angles = np.arange(16) * (np.pi / 8)
    circle = np.stack([np.cos(angles), aspect * np.sin(angles)], 1)
    girdle, table, star = circle, 0.55 * circle[::2], 0.8 * circle[1::2]
    facets = []
    for i in range(8):
        j = (i + 1) % 8
        a, b, middle = girdle[2 * i], girdle[(2 * i + 2) % 16], girdle[2 * i + 1]
        for points in ([table[i], table[j], star[i]], [table[i], star[i], a], [table[j], b, star[i]]):
            facets.append(np.stack(points))
        facets += [np.stack([star[i], a, middle]), np.stack([star[i], middle, b])]
    return [*((points, points.mean(0)) for points in facets), (table, np.zeros(2))]


def _stepped(aspect: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """The same of an emerald cut: four sides and four corners in three steps, and the table."""
    corner = 0.32
    outline = [(1, aspect - corner), (1 - corner, aspect), (corner - 1, aspect), (-1, aspect - corner)]
    octagon = np.array(outline + [(-x, -y) for x, y in outline])
    facets = []
    for outer, inner in ((1.0, 0.82), (0.82, 0.64), (0.64, 0.46)):
        for i in range(8):
            j = (i + 1) % 8
            points = np.stack([outer * octagon[i], outer * octagon[j], inner * octagon[j], inner * octagon[i]])
            facets.append((points, points.mean(0)))
    return [*facets, (0.46 * octagon, np.zeros(2))]

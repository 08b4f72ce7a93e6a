"""Grounds that segmenters take for products: cloth of one bright colour, printed cloth, carpets with ornaments."""

import colorsys

import cv2
import numpy as np

from .colours import COLOURS, second_colour, shade
from .noise import NOISE_PX, noise_tile, sample
from .paint import Light
from .patterns import TILES, pattern_tile
from .surfaces import folds, hex_colours, painted, shift

CARPET = hex_colours(
    "7a1f22",
    "9c2b2a",
    "5b1a24",
    "1f2b4d",
    "27406b",
    "3f5a4a",
    "c9a063",
    "d8c39c",
    "e6dcc6",
    "8a5a34",
    "2a211f",
    "b5793a",
)
_WIDE = 0.5  # of the motifs' largest period: folding about 0 and 0.5 makes them symmetric


def bright(rng: np.random.Generator, size: int, light: Light, rgb: np.ndarray | None = None) -> np.ndarray:
    """One colour from edge to edge, saturated unless ``rgb`` names it: a sheet, a towel, a plain carpet."""
    if rgb is None:
        hue, value = rng.random(), rng.uniform(0.4, 0.92)
        rgb = np.array(colorsys.hsv_to_rgb(hue, rng.uniform(0.6, 0.95), value), np.float32) * 255
    rgb = np.clip(rgb * (1 + rng.normal(0, 0.05)) + rng.normal(0, 4, 3), 5, 254).astype(np.float32)
    zoom = 384 / size
    tone, _, _ = folds(rng, size, light, (0.0, 0.16))
    wavelength, strength = ((3.0, 0.03), (7.0, 0.10), (9.0, 0.05))[int(rng.integers(3))]  # weave, pile, terry
    grain = sample(noise_tile(NOISE_PX, wavelength, 1.0, 79), size, size, 0, zoom * rng.uniform(0.7, 1.2), shift(rng))
    return painted(tone * (1 + strength * grain), rgb)


def ornament(rng: np.random.Generator, size: int, light: Light) -> np.ndarray:
    """A printed sheet, a cloth with a woven ornament in two tones, or a carpet with field and borders."""
    kind = rng.random()
    if kind < 0.35:
        return _printed(rng, size, light)
    return _damask(rng, size, light) if kind < 0.55 else _carpet(rng, size)


def _printed(rng: np.random.Generator, size: int, light: Light) -> np.ndarray:
    """The patterns of garments, larger: a bed sheet, a curtain, a table cloth."""
    names = [str(rng.choice(COLOURS))]
    for _ in range(int(rng.integers(1, 3))):
        names.append(second_colour(rng, names, 18))
    label = pattern_tile(rng, str(rng.choice(list(TILES))), len(names), rng.uniform(0.8, 1.5))
    palette = np.stack([shade(rng, name) for name in names])
    tone, gx, gy = folds(rng, size, light, (0.03, 0.14))
    angle, scale = rng.uniform(0, np.pi), len(label) / (size * rng.uniform(0.3, 1.1))
    x, y = _turned(size, angle)
    x, y = (x + 0.02 * size * gx / 12) * scale, (y + 0.02 * size * gy / 12) * scale
    soft = cv2.GaussianBlur(palette[label], (0, 0), max(0.5, 0.5 * scale), borderType=cv2.BORDER_REFLECT_101)
    return painted(tone, cv2.remap(soft, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP))


def _damask(rng: np.random.Generator, size: int, light: Light) -> np.ndarray:
    """Cloth whose ornament is a little lighter or darker than its ground."""
    rgb = shade(rng, str(rng.choice(COLOURS)))
    other = np.clip(rgb * rng.uniform(1.15, 1.7) if rng.random() < 0.5 else rgb * rng.uniform(0.55, 0.85), 4, 253)
    x, y = _turned(size, rng.normal(0, 0.3))
    level = _motif(rng, x, y, rng.uniform(0.12, 0.4) * size, 2)
    tone, _, _ = folds(rng, size, light, (0.02, 0.12))
    return painted(tone, _blend(np.stack([rgb, other]), level, size))


def _carpet(rng: np.random.Generator, size: int) -> np.ndarray:
    """A field of symmetric motifs in three to five colours; at times a medallion, and borders where its edge is near."""
    colours = int(rng.integers(3, 6))
    if rng.random() < 0.75:
        palette = CARPET[rng.permutation(len(CARPET))[:colours]] + rng.normal(0, 6, (colours, 3))
    else:
        palette = rng.uniform(20, 240, (colours, 3))
    palette = np.clip(palette, 5, 250).astype(np.float32)
    x, y = _turned(size, float(rng.choice([0, np.pi / 2])) + rng.normal(0, 0.2), tilt=rng.uniform(0, 0.25))
    level = _motif(rng, x, y, rng.uniform(0.15, 0.5) * size, colours)
    if rng.random() < 0.4:
        cx, cy, reach = *rng.uniform(0.3, 0.7, 2) * size, rng.uniform(0.2, 0.45) * size
        away = np.hypot(x - cx, (y - cy) * rng.uniform(0.6, 1.0)) + 0.06 * reach * np.cos(
            rng.integers(6, 20) * np.arctan2(y - cy, x - cx)
        )
        inside = away < reach
        level[inside] = _motif(rng, x - cx, y - cy, reach * rng.uniform(0.5, 1.2), colours)[inside]
        level[np.abs(away - reach) < 0.015 * size] = int(rng.integers(colours))
    if rng.random() < 0.5:
        _borders(rng, level, x, y, size, colours)
    picture = _blend(palette, level, size)
    zoom = 384 / size
    pile = sample(noise_tile(NOISE_PX, 5.0, 1.0, 80), size, size, 0, zoom * rng.uniform(0.7, 1.3), shift(rng))
    wear = sample(noise_tile(NOISE_PX, 110, 1.0, 81), size, size, 0, zoom, shift(rng))
    return painted(1 + rng.uniform(0.04, 0.14) * pile + 0.05 * wear, picture)


def _borders(rng: np.random.Generator, level: np.ndarray, x, y, size: int, colours: int) -> None:
    """Bands along one or two edges of the carpet, each plain or with a running motif; beyond them a floor."""
    edges = [(x, rng.uniform(0.6, 0.95)), (size - x, rng.uniform(0.6, 0.95)), (y, rng.uniform(0.6, 0.95))]
    near = np.full(level.shape, -np.inf, np.float32)
    for k in rng.permutation(3)[: int(rng.integers(1, 3))]:
        near = np.maximum(near, edges[k][0] - edges[k][1] * size)
    begin = 0.0
    for _ in range(int(rng.integers(2, 5))):
        wide = rng.uniform(0.015, 0.12) * size
        band = (near >= begin) & (near < begin + wide)
        motif = _motif(rng, x, y, max(wide, 0.05 * size), colours) if wide > 0.05 * size else int(rng.integers(colours))
        level[band] = motif[band] if isinstance(motif, np.ndarray) else motif
        begin += wide
    level[near >= begin] = int(rng.integers(colours))


def _motif(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, period: float, colours: int) -> np.ndarray:
    """Colour index uint8 (h, w) of a lattice of mirror-symmetric motifs ``period`` px apart: noise, read along folded
    coordinates and cut into as many levels as there are colours."""
    u, v = x / period, y / (period * rng.uniform(0.7, 1.4))
    if rng.random() < 0.5:
        u = u + 0.5 * (np.floor(v) % 2)  # every other row by half a motif
    u, v = np.abs(u - np.round(u)), np.abs(v - np.round(v))
    if rng.random() < 0.5:
        u, v = np.maximum(u, v), np.minimum(u, v)  # the diagonals are axes too
    detail = rng.uniform(90, 220)
    tile = noise_tile(NOISE_PX, 40, 1.0, int(rng.integers(90, 96)))
    at = shift(rng)
    field = cv2.remap(
        tile,
        (u * detail / _WIDE + at[0]).astype(np.float32),
        (v * detail / _WIDE + at[1]).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    cuts = np.sort(rng.uniform(-1.2, 1.2, colours - 1))
    order = rng.permutation(colours).astype(np.uint8)
    return order[np.digitize(field, cuts)]


def _blend(palette: np.ndarray, level: np.ndarray, size: int) -> np.ndarray:
    """float32 (h, w, 3): the colours, edges as soft as a lens makes them."""
    return cv2.GaussianBlur(palette[level].astype(np.float32), (0, 0), max(0.5, size / 500))


def _turned(size: int, angle: float, tilt: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of every pixel in px, float32 (size, size), turned by ``angle`` (rad) about the middle; ``tilt``: how
    much farther the upper edge is away than the lower."""
    t = np.arange(size, dtype=np.float32) - size / 2
    far = 1 + np.float32(tilt) * (0.5 - t[:, None] / size)
    px, py = t[None] * far, t[:, None] * far
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cosine * px + sine * py + size / 2, cosine * py - sine * px + size / 2

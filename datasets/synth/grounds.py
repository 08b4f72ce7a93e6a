"""What the products lie on or hang before: studio, planks, cloth, tiles, carpet; and clutter that is no product.

Bright cloth and ornaments: see ornaments.py."""

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np

from .noise import NOISE_PX, noise_tile, sample
from .ornaments import bright, ornament
from .paint import Light
from .surfaces import folds, hex_colours, painted, pick, shift

GROUNDS = ("studio", "wood", "cloth", "cluttered", "bright", "ornament")


STUDIO = hex_colours("f2f2f0", "ffffff", "e4e5e8", "d6d3cf", "c9ccd2", "eae3da", "b9bec4", "dfe6ea")
WOOD = hex_colours("b98a55", "c9a274", "8f6a45", "a9a29a", "d8bf98", "6b4a30", "7d7a78", "e0d3bd")
SHEETS = hex_colours(
    "e9e7e3",
    "f3f2f0",
    "b5202a",
    "2a6f8c",
    "9fb3c8",
    "d9c9b4",
    "6d7f9c",
    "8a8f94",
    "3a3f4a",
    "c8a9a0",
    "e7d7a4",
    "7a8f6a",
    "5c4a6e",
    "1f7a72",
)
THINGS = hex_colours(
    "c0392b",
    "2e86c1",
    "f4d03f",
    "229954",
    "ecf0f1",
    "34495e",
    "a04000",
    "d98880",
    "7d3c98",
    "1c2833",
    "d5dbdb",
    "af8f5f",
    "e59866",
)


def _ramp(size: int, angle: float) -> np.ndarray:
    """A plane from -1 to 1 across the picture, float32 (size, size)."""
    t = np.linspace(-1, 1, size, dtype=np.float32)
    return 0.7 * (np.float32(np.cos(angle)) * t[None] + np.float32(np.sin(angle)) * t[:, None])


def studio(rng: np.random.Generator, size: int, light: Light) -> np.ndarray:
    """A sweep of paper or a wall: a gradient, a vignette, at times the line where wall meets floor."""
    rgb = pick(rng, STUDIO, 3)
    tone = 1 - rng.uniform(0.02, 0.12) * _ramp(size, rng.uniform(0, 2 * np.pi))
    t = np.linspace(-1, 1, size, dtype=np.float32)
    tone *= 1 - rng.uniform(0.0, 0.14) * (t[None] ** 2 + t[:, None] ** 2) / 2
    if rng.random() < 0.3:
        line = rng.uniform(0.55, 0.85) * size
        tone[int(line) :] *= rng.uniform(0.86, 0.97)
        tone = cv2.GaussianBlur(tone, (0, 0), rng.uniform(0.8, size / 24))
    tone += 0.006 * sample(noise_tile(NOISE_PX, 60, 1.0, 70), size, size, 0, 1.0, shift(rng))
    return painted(tone, rgb)


def wood(rng: np.random.Generator, size: int, light: Light) -> np.ndarray:
    """Planks: each its own tone and place in the grain, dark joints."""
    rgb = pick(rng, WOOD, 5)
    angle = float(rng.choice([0.0, np.pi / 2])) + rng.normal(0, 0.25)
    t = np.arange(size, dtype=np.float32) - size / 2
    u = np.float32(np.cos(angle)) * t[None] + np.float32(np.sin(angle)) * t[:, None] + size
    v = np.float32(np.cos(angle)) * t[:, None] - np.float32(np.sin(angle)) * t[None] + size
    wide = rng.uniform(0.08, 0.24) * size
    row = (v / wide).astype(np.int32)
    offsets = rng.uniform(0, 1, 64).astype(np.float32) * NOISE_PX
    tones = rng.normal(1, 0.07, (64, 4)).astype(np.float32)
    along = u + offsets[row & 63]
    length = wide * rng.uniform(4, 7)
    piece = (along / length).astype(np.int32)
    zoom = 384 / size
    grain = cv2.remap(
        _grain(),
        along * (0.5 * zoom),
        v * zoom + offsets[(row + 7 * piece) & 63],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    tone = tones.ravel()[(row & 63) * 4 + (piece & 3)] * (1 + rng.uniform(0.05, 0.12) * grain)
    gap = max(0.9, size / 300)
    joint = (v % wide < gap) | (along % length < gap)
    tone[joint] *= rng.uniform(0.45, 0.75)
    return painted(tone, rgb)


@lru_cache(maxsize=1)
def _grain() -> np.ndarray:
    """Wood grain along x, float32 (NOISE_PX, NOISE_PX), periodic."""
    rings = np.sin(2 * np.pi * (np.arange(NOISE_PX)[:, None] / 32.0) + 1.5 * noise_tile(NOISE_PX, 40, 6.0, 71).T)
    return np.ascontiguousarray(0.6 * rings + 0.7 * noise_tile(NOISE_PX, 3.0, 14.0, 72).T, dtype=np.float32)


def cloth(rng: np.random.Generator, size: int, light: Light) -> np.ndarray:
    """A bed sheet or throw with folds, plain, striped or checked; at times a carpet or a tiled floor."""
    kind = rng.random()
    if kind < 0.15:
        return _carpet(rng, size)
    if kind < 0.30:
        return _tiles(rng, size)
    rgb = pick(rng, SHEETS, 6)
    tone, gx, gy = folds(rng, size, light, (0.03, 0.16))
    tone *= 1 + 0.03 * sample(noise_tile(NOISE_PX, 3.0, 4.0, 73), size, size, 0, 384 / size, shift(rng))
    picture = painted(tone, rgb)
    if rng.random() < 0.25:
        other = pick(rng, SHEETS, 6) if rng.random() < 0.4 else np.clip(rgb * rng.uniform(0.8, 1.15), 0, 250)
        period = rng.uniform(0.04, 0.16) * size
        t = np.arange(size, dtype=np.float32)
        lean = rng.normal(0, 0.4)
        across = np.abs(t[None] + lean * t[:, None] + 3 * gx) % period < 0.5 * period
        if rng.random() < 0.4:
            across ^= np.abs(t[:, None] - lean * t[None] + 3 * gy) % period < 0.5 * period
        picture[across] = painted(tone, other)[across]
    return picture


def _carpet(rng: np.random.Generator, size: int) -> np.ndarray:
    zoom = 384 / size
    pile = sample(noise_tile(NOISE_PX, 7, 1.0, 74), size, size, 0, zoom * rng.uniform(0.7, 1.3), shift(rng))
    patches = sample(noise_tile(NOISE_PX, 110, 1.0, 75), size, size, 0, zoom, shift(rng))
    return painted(1 + rng.uniform(0.06, 0.16) * pile + 0.05 * patches, pick(rng, np.concatenate([SHEETS, WOOD]), 6))


def _tiles(rng: np.random.Generator, size: int) -> np.ndarray:
    """Floor tiles with joints."""
    angle = rng.uniform(0, np.pi / 2)
    t = np.arange(size, dtype=np.float32) - size / 2
    u = np.float32(np.cos(angle)) * t[None] + np.float32(np.sin(angle)) * t[:, None] + 4 * size
    v = np.float32(np.cos(angle)) * t[:, None] - np.float32(np.sin(angle)) * t[None] + 4 * size
    pitch = rng.uniform(0.2, 0.5) * size
    tone = 1 + 0.02 * sample(noise_tile(NOISE_PX, 70, 1.0, 76), size, size, 0, 384 / size, shift(rng))
    tone = (
        tone
        + (rng.normal(0, 0.02, 64).astype(np.float32))[((u / pitch).astype(int) * 7 + (v / pitch).astype(int)) % 64]
    )
    tone[(u % pitch < size / 130) | (v % pitch < size / 130)] *= rng.uniform(0.6, 0.85)
    return cv2.GaussianBlur(painted(tone, pick(rng, np.concatenate([STUDIO, WOOD]), 6)), (3, 3), 0.6)


def _book(rng: np.random.Generator, layer: np.ndarray, mask: np.ndarray, at: float, reach: float, colour, dark) -> None:
    """A box or book with its spine. Draws round (at, at) of a window: ``layer`` its colours, ``mask`` its outline."""
    box = cv2.boxPoints(((at, at), (2 * reach, 2 * reach * rng.uniform(0.5, 1.0)), rng.uniform(0, 90)))
    points = np.round(box * 16).astype(np.int32)[:, None]
    cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, 4)
    layer[:] = colour
    spine = np.stack([box[0], box[1], 0.86 * box[1] + 0.14 * box[2], 0.86 * box[0] + 0.14 * box[3]])
    cv2.fillPoly(layer, [np.round(spine * 16).astype(np.int32)[:, None]], dark, cv2.LINE_AA, 4)
    cv2.polylines(layer, [points], True, dark, 1, cv2.LINE_AA, 4)


def _cup(rng: np.random.Generator, layer: np.ndarray, mask: np.ndarray, at: float, reach: float, colour, dark) -> None:
    """A cup or plate from above."""
    centre = (round(at * 16), round(at * 16))
    layer[:] = colour
    for ratio, tone in ((0.82, dark), (0.72, tuple(min(255.0, 1.2 * c) for c in colour))):
        cv2.circle(layer, centre, round(reach * ratio * 16), tone, -1, cv2.LINE_AA, 4)
    cv2.circle(mask, centre, round(reach * 16), 255, -1, cv2.LINE_AA, 4)


def _cable(
    rng: np.random.Generator, layer: np.ndarray, mask: np.ndarray, at: float, reach: float, colour, dark
) -> None:
    t = np.linspace(-1, 1, 30)
    line = np.stack([at + t * reach * 1.3, at + np.sin(t * rng.uniform(2, 6)) * reach * 0.5], 1)
    layer[:] = dark
    cv2.polylines(
        mask, [np.round(line * 16).astype(np.int32)[:, None]], False, 255, max(2, round(reach / 12)), cv2.LINE_AA, 4
    )


def _cushion(
    rng: np.random.Generator, layer: np.ndarray, mask: np.ndarray, at: float, reach: float, colour, dark
) -> None:
    layer[:] = colour
    axes = (round(reach * 1.2), round(reach * 0.7))
    cv2.ellipse(mask, (round(at), round(at)), axes, rng.uniform(0, 180), 0, 360, 255, -1, cv2.LINE_AA)


_THINGS = (_book, _book, _book, _cup, _cable, _cushion)


def _thing(rng: np.random.Generator, picture: np.ndarray) -> None:
    """Lay one object that is no product near an edge of the picture, with its shadow."""
    size = len(picture)
    along, side = rng.random(), int(rng.integers(4))
    cx, cy = ((along, 0.04), (0.96, along), (along, 0.96), (0.04, along))[side]
    colour = tuple(float(c) for c in pick(rng, THINGS, 12))
    reach = rng.uniform(0.06, 0.17) * size
    half = int(1.6 * reach) + 4
    layer, mask = np.zeros((2 * half, 2 * half, 3), np.uint8), np.zeros((2 * half, 2 * half), np.uint8)
    _THINGS[int(rng.integers(len(_THINGS)))](
        rng, layer, mask, float(half), reach, colour, tuple(0.6 * c for c in colour)
    )
    k = size // 30 | 1
    shadow = cv2.blur(np.roll(mask, (size // 80, size // 90), (0, 1)), (k, k))
    left, top = round(cx * size) - half, round(cy * size) - half
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + 2 * half, size), min(top + 2 * half, size)
    window = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    below = picture[y0:y1, x0:x1] * (1 - shadow[window][..., None] * np.float32(0.45 / 255))
    picture[y0:y1, x0:x1] = below + mask[window][..., None] * np.float32(1 / 255) * (layer[window] - below)


def cluttered(rng: np.random.Generator, size: int, light: Light) -> np.ndarray:
    """Another ground with things along its edges."""
    picture = _PLAIN[int(rng.integers(3))](rng, size, light)
    for _ in range(int(rng.integers(2, 6))):
        _thing(rng, picture)
    return picture


_PLAIN: tuple[Callable[[np.random.Generator, int, Light], np.ndarray], ...] = (studio, wood, cloth)
_BY_NAME = {
    "studio": studio,
    "wood": wood,
    "cloth": cloth,
    "cluttered": cluttered,
    "bright": bright,
    "ornament": ornament,
}


def ground(rng: np.random.Generator, kind: str, size_px: int, light: Light) -> np.ndarray:
    """A ground of ``kind`` (one of GROUNDS), uint8 (size_px, size_px, 3) RGB."""
    return cv2.convertScaleAbs(_BY_NAME[kind](rng, size_px, light), alpha=0.93)

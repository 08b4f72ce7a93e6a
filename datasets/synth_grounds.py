"""What the products lie on or hang before: studio, planks, cloth, tiles, carpet; and clutter that is no product."""

from collections.abc import Callable

import cv2
import numpy as np

from .synth_noise import NOISE_PX, drape_tile, noise_tile, sample
from .synth_paint import Light

GROUNDS = ("studio", "wood", "cloth", "cluttered")


def _hex(*values: str) -> np.ndarray:
    return np.array([[int(v[i : i + 2], 16) for i in (0, 2, 4)] for v in values], dtype=np.float32)


STUDIO = _hex("f2f2f0", "ffffff", "e4e5e8", "d6d3cf", "c9ccd2", "eae3da", "b9bec4", "dfe6ea")
WOOD = _hex("b98a55", "c9a274", "8f6a45", "a9a29a", "d8bf98", "6b4a30", "7d7a78", "e0d3bd")
SHEETS = _hex(
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
THINGS = _hex(
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


def _pick(rng: np.random.Generator, colours: np.ndarray, spread: float = 6.0) -> np.ndarray:
    return np.clip(colours[int(rng.integers(len(colours)))] + rng.normal(0, spread, 3), 5, 254).astype(np.float32)


def _shift(rng: np.random.Generator) -> tuple[float, float]:
    x, y = rng.uniform(0, NOISE_PX, 2)
    return float(x), float(y)


def _ramp(size: int, angle: float) -> np.ndarray:
    """A plane from -1 to 1 across the picture, float32 (size, size)."""
    t = np.linspace(-1, 1, size, dtype=np.float32)
    return 0.7 * (np.float32(np.cos(angle)) * t[None] + np.float32(np.sin(angle)) * t[:, None])


def _painted(tone: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """tone float32 (h, w) times rgb (3,) as uint8 (h, w, 3)."""
    return np.clip(tone[..., None] * rgb, 0, 255).astype(np.uint8)


def studio(rng: np.random.Generator, size: int, light: Light) -> np.ndarray:
    """A sweep of paper or a wall: a gradient, a vignette, at times the line where wall meets floor."""
    rgb = _pick(rng, STUDIO, 3)
    tone = 1 - rng.uniform(0.02, 0.12) * _ramp(size, rng.uniform(0, 2 * np.pi))
    t = np.linspace(-1, 1, size, dtype=np.float32)
    tone *= 1 - rng.uniform(0.0, 0.14) * (t[None] ** 2 + t[:, None] ** 2) / 2
    if rng.random() < 0.3:
        line = rng.uniform(0.55, 0.85) * size
        tone[int(line) :] *= rng.uniform(0.86, 0.97)
        tone = cv2.GaussianBlur(tone, (0, 0), rng.uniform(0.8, size / 24))
    tone += 0.006 * sample(noise_tile(NOISE_PX, 60, 1.0, 70), size, size, 0, 1.0, _shift(rng))
    return _painted(tone, rgb)


def wood(rng: np.random.Generator, size: int, light: Light) -> np.ndarray:
    """Planks: each its own tone and place in the grain, dark joints."""
    rgb = _pick(rng, WOOD, 5)
    angle = float(rng.choice([0.0, np.pi / 2])) + rng.normal(0, 0.25)
    t = np.arange(size, dtype=np.float32) - size / 2
    u = np.float32(np.cos(angle)) * t[None] + np.float32(np.sin(angle)) * t[:, None] + size
    v = np.float32(np.cos(angle)) * t[:, None] - np.float32(np.sin(angle)) * t[None] + size
    wide = rng.uniform(0.08, 0.24) * size
    row = (v / wide).astype(np.int32)
    offsets = rng.uniform(0, 1, 64).astype(np.float32) * NOISE_PX
    tones = rng.normal(1, 0.07, (64, 4)).astype(np.float32)
    along = u + offsets[row % 64]
    length = wide * rng.uniform(4, 7)
    piece = (along / length).astype(np.int32)
    zoom = 384 / size
    grain = cv2.remap(
        _grain(),
        along * (0.5 * zoom),
        v * zoom + offsets[(row + 7 * piece) % 64],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    tone = tones[row % 64, piece % 4] * (1 + rng.uniform(0.05, 0.12) * grain)
    gap = max(0.9, size / 300)
    joint = (v % wide < gap) | (along % length < gap)
    tone[joint] *= rng.uniform(0.45, 0.75)
    return _painted(tone, rgb)


_GRAIN: list[np.ndarray] = []


def _grain() -> np.ndarray:
    """Wood grain along x, float32 (NOISE_PX, NOISE_PX), periodic."""
    if not _GRAIN:
        rings = np.sin(2 * np.pi * (np.arange(NOISE_PX)[:, None] / 32.0) + 1.6 * noise_tile(NOISE_PX, 60, 0.12, 71).T)
        fibre = noise_tile(NOISE_PX, 3.0, 14.0, 72).T
        _GRAIN.append(np.ascontiguousarray(0.6 * rings + 0.7 * fibre, dtype=np.float32))
    return _GRAIN[0]


def cloth(rng: np.random.Generator, size: int, light: Light) -> np.ndarray:
    """A bed sheet or throw with folds, plain, striped or checked; at times a carpet or a tiled floor."""
    kind = rng.random()
    if kind < 0.15:
        return _carpet(rng, size)
    if kind < 0.30:
        return _tiles(rng, size)
    rgb = _pick(rng, SHEETS, 6)
    zoom = 384 / size
    drape = drape_tile(str(rng.choice(["soft", "crease", "crumple"])))
    scale = rng.uniform(0.5, 1.1) * zoom
    height = sample(drape, size, size, rng.uniform(0, np.pi), scale, _shift(rng)) * (12 / scale)
    gx, gy = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=1 / 8)
    depth = rng.uniform(0.03, 0.16)
    tone = np.clip(1 + depth * (gx * light.direction[0] + gy * light.direction[1]), 0.55, 1.3)
    tone *= 1 + 0.03 * sample(noise_tile(NOISE_PX, 3.0, 4.0, 73), size, size, 0, zoom, _shift(rng))
    picture = _painted(tone, rgb)
    if rng.random() < 0.25:
        other = _pick(rng, SHEETS, 6)
        period = rng.uniform(0.04, 0.16) * size
        t = np.arange(size, dtype=np.float32)
        lean = rng.normal(0, 0.4)
        across = np.abs(t[None] + lean * t[:, None] + 3 * gx) % period < 0.5 * period
        if rng.random() < 0.4:
            across ^= np.abs(t[:, None] - lean * t[None] + 3 * gy) % period < 0.5 * period
        picture[across] = _painted(tone, other)[across]
    return picture


def _carpet(rng: np.random.Generator, size: int) -> np.ndarray:
    zoom = 384 / size
    pile = sample(noise_tile(NOISE_PX, 7, 1.0, 74), size, size, 0, zoom * rng.uniform(0.7, 1.3), _shift(rng))
    patches = sample(noise_tile(NOISE_PX, 110, 1.0, 75), size, size, 0, zoom, _shift(rng))
    return _painted(1 + rng.uniform(0.06, 0.16) * pile + 0.05 * patches, _pick(rng, np.concatenate([SHEETS, WOOD]), 6))


def _tiles(rng: np.random.Generator, size: int) -> np.ndarray:
    """Floor tiles with joints."""
    angle = rng.uniform(0, np.pi / 2)
    t = np.arange(size, dtype=np.float32) - size / 2
    u = np.float32(np.cos(angle)) * t[None] + np.float32(np.sin(angle)) * t[:, None] + 4 * size
    v = np.float32(np.cos(angle)) * t[:, None] - np.float32(np.sin(angle)) * t[None] + 4 * size
    pitch = rng.uniform(0.2, 0.5) * size
    tone = 1 + 0.02 * sample(noise_tile(NOISE_PX, 70, 1.0, 76), size, size, 0, 384 / size, _shift(rng))
    tone = (
        tone
        + (rng.normal(0, 0.02, 64).astype(np.float32))[((u / pitch).astype(int) * 7 + (v / pitch).astype(int)) % 64]
    )
    tone[(u % pitch < size / 130) | (v % pitch < size / 130)] *= rng.uniform(0.6, 0.85)
    return cv2.GaussianBlur(_painted(tone, _pick(rng, np.concatenate([STUDIO, WOOD]), 6)), (3, 3), 0.6)


def _thing(rng: np.random.Generator, picture: np.ndarray) -> None:
    """One object that is no product: a book, box, cup, ball, plate, cable, sheet of paper."""
    size = len(picture)
    kind = int(rng.integers(6))
    side = rng.random() * 4
    place = {0: (rng.random(), 0.04), 1: (0.96, rng.random()), 2: (rng.random(), 0.96), 3: (0.04, rng.random())}[
        int(side)
    ]
    cx, cy = place[0] * size, place[1] * size
    colour = tuple(float(c) for c in _pick(rng, THINGS, 12))
    dark = tuple(0.6 * c for c in colour)
    reach = rng.uniform(0.06, 0.17) * size
    layer = picture.copy()
    mask = np.zeros(picture.shape[:2], np.uint8)
    if kind <= 2:
        box = cv2.boxPoints(((cx, cy), (2 * reach, 2 * reach * rng.uniform(0.5, 1.0)), rng.uniform(0, 90)))
        points = np.round(box * 16).astype(np.int32)[:, None]
        cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, 4)
        layer[:] = colour
        middle = (box[0] + box[3]) / 2 * 0.85 + (box[1] + box[2]) / 2 * 0.15
        other = (box[1] + box[0]) / 2 * 0.85 + (box[2] + box[3]) / 2 * 0.15
        cv2.fillPoly(
            layer,
            [np.round(np.stack([box[0], box[1], other, middle]) * 16).astype(np.int32)[:, None]],
            dark,
            cv2.LINE_AA,
            4,
        )
        cv2.polylines(layer, [points], True, dark, max(1, size // 200), cv2.LINE_AA, 4)
    elif kind == 3:
        for ratio, shade in ((1.0, colour), (0.82, dark), (0.72, tuple(min(255.0, 1.2 * c) for c in colour))):
            cv2.circle(layer, (round(cx * 16), round(cy * 16)), round(reach * ratio * 16), shade, -1, cv2.LINE_AA, 4)
        cv2.circle(mask, (round(cx * 16), round(cy * 16)), round(reach * 16), 255, -1, cv2.LINE_AA, 4)
    elif kind == 4:
        t = np.linspace(0, 1, 30)
        x = cx + (t - 0.5) * size * 0.7
        y = cy + np.sin(t * rng.uniform(4, 12)) * size * 0.06
        points = np.round(np.stack([x, y], 1) * 16).astype(np.int32)[:, None]
        cv2.polylines(layer, [points], False, dark, max(2, size // 110), cv2.LINE_AA, 4)
        cv2.polylines(mask, [points], False, 255, max(2, size // 110), cv2.LINE_AA, 4)
    else:
        layer[:] = colour
        cv2.ellipse(
            mask,
            (round(cx), round(cy)),
            (round(reach * 1.2), round(reach * 0.7)),
            rng.uniform(0, 180),
            0,
            360,
            255,
            -1,
            cv2.LINE_AA,
        )
    shadow = cv2.blur(np.roll(mask, (size // 80, size // 90), (0, 1)), (size // 30 | 1, size // 30 | 1))
    ground = picture * (1 - shadow[..., None] * np.float32(0.45 / 255))
    alpha = mask[..., None] * np.float32(1 / 255)
    picture[:] = ground + alpha * (layer - ground)


def cluttered(rng: np.random.Generator, size: int, light: Light) -> np.ndarray:
    """Another ground with things along its edges."""
    picture = _PLAIN[int(rng.integers(3))](rng, size, light)
    for _ in range(int(rng.integers(2, 6))):
        _thing(rng, picture)
    return picture


_PLAIN: tuple[Callable[[np.random.Generator, int, Light], np.ndarray], ...] = (studio, wood, cloth)
_BY_NAME = {"studio": studio, "wood": wood, "cloth": cloth, "cluttered": cluttered}


def ground(rng: np.random.Generator, kind: str, size_px: int, light: Light) -> np.ndarray:
    """A ground of ``kind`` (one of GROUNDS), uint8 (size_px, size_px, 3) RGB."""
    return _BY_NAME[kind](rng, size_px, light)

"""What every ground is made of: a colour times a tone, folds, colours drawn from a list."""

import cv2
import numpy as np

from .noise import NOISE_PX, drape_tile, sample
from .paint import Light


def hex_colours(*values: str) -> np.ndarray:
    return np.array([[int(v[i : i + 2], 16) for i in (0, 2, 4)] for v in values], dtype=np.float32)


def pick(rng: np.random.Generator, colours: np.ndarray, spread: float = 6.0) -> np.ndarray:
    return np.clip(colours[int(rng.integers(len(colours)))] + rng.normal(0, spread, 3), 5, 254).astype(np.float32)


def shift(rng: np.random.Generator) -> tuple[float, float]:
    x, y = rng.uniform(0, NOISE_PX, 2)
    return float(x), float(y)


def painted(tone: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """tone float32 (h, w) times rgb, (3,) or (h, w, 3), as uint8 (h, w, 3)."""
    tone = np.maximum(tone, 0)
    if rgb.ndim == 3:
        return cv2.convertScaleAbs(rgb.astype(np.float32) * tone[..., None])
    return cv2.convertScaleAbs(cv2.merge([tone * channel for channel in rgb.astype(np.float32)]))


def folds(
    rng: np.random.Generator, size: int, light: Light, depth: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cloth that lies in folds, lit from ``light``: tone about 1, and its slopes along x and y; float32 (size, size).
    ``depth``: least and most of how much the folds show."""
    zoom = 384 / size
    drape = drape_tile(str(rng.choice(["soft", "crease", "crumple"])))
    scale = rng.uniform(0.5, 1.1) * zoom
    height = sample(drape, size, size, rng.uniform(0, np.pi), scale, shift(rng)) * (12 / scale)
    gx, gy = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=1 / 8)
    deep = rng.uniform(*depth)
    return np.clip(1 + deep * (gx * light.direction[0] + gy * light.direction[1]), 0.55, 1.3), gx, gy

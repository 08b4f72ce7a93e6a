"""Noise tiles for the synthetic catalog: made once a process from fixed seeds, wrapped at their edges."""

from functools import lru_cache

import cv2
import numpy as np

TILE_PX = 256
NOISE_PX = 512


@lru_cache(maxsize=64)
def noise_tile(size_px: int, wavelength_px: float, stretch: float = 1.0, seed: int = 0) -> np.ndarray:
    """Band-passed Gaussian noise, float32 (size_px, size_px), mean 0, deviation 1, periodic in both axes.

    ``wavelength_px`` is the dominant wavelength along x; along y it is ``stretch`` times as long.
    """
    rng = np.random.default_rng([77, seed])
    spectrum = np.fft.rfft2(rng.standard_normal((size_px, size_px)))
    fy = np.fft.fftfreq(size_px)[:, None] * stretch
    fx = np.fft.rfftfreq(size_px)[None]
    ratio = np.hypot(fx, fy) * wavelength_px
    field = np.fft.irfft2(spectrum * ratio * np.exp(-(ratio**2)), s=(size_px, size_px))
    field = np.ascontiguousarray((field - field.mean()) / field.std(), dtype=np.float32)
    field.setflags(write=False)
    return field


@lru_cache(maxsize=8)
def drape_tile(kind: str) -> np.ndarray:
    """Height of folds, float32 (NOISE_PX, NOISE_PX), periodic: ``soft`` rolls, ``crease`` sharp ridges, ``crumple`` both."""
    soft = noise_tile(NOISE_PX, 100, 3.0, 1) + 0.5 * noise_tile(NOISE_PX, 220, 1.2, 2)
    # The ridge of |noise| is a line with two slopes: what a pulled, pressed or crumpled crease looks like.
    pull = -np.abs(noise_tile(NOISE_PX, 110, 3.4, 3))
    ridge = -np.abs(noise_tile(NOISE_PX, 130, 1.4, 4)) - 0.45 * np.abs(noise_tile(NOISE_PX, 64, 1.0, 5))
    field = {"soft": 0.8 * soft + 0.9 * pull, "crease": 0.35 * soft + 1.5 * ridge, "crumple": 0.6 * soft + 1.4 * ridge}[
        kind
    ]
    field = cv2.GaussianBlur(np.tile(field, (3, 3)), (0, 0), 2.2)[NOISE_PX : 2 * NOISE_PX, NOISE_PX : 2 * NOISE_PX]
    return np.ascontiguousarray((field - field.mean()) / field.std(), dtype=np.float32)


@lru_cache(maxsize=1)
def camera_noise() -> np.ndarray:
    """Sensor noise, float32 (1024, 1024, 3), deviation 16: slightly soft (demosaicing) and partly shared by the channels."""
    rng = np.random.default_rng(78)
    grey = rng.standard_normal((1024, 1024, 1)).astype(np.float32)
    noise = cv2.GaussianBlur(0.8 * grey + 0.6 * rng.standard_normal((1024, 1024, 3)).astype(np.float32), (0, 0), 0.6)
    return noise * np.float32(16 / noise.std())


def sample(tile: np.ndarray, height: int, width: int, angle: float, scale: float, shift_px: tuple[float, float]):
    """``tile`` read on a (height, width) grid turned by ``angle`` (rad); one pixel steps ``scale`` tile pixels."""
    cosine, sine = np.cos(angle) * scale, np.sin(angle) * scale
    matrix = np.array([[cosine, -sine, shift_px[0]], [sine, cosine, shift_px[1]]], dtype=np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(tile, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_WRAP)

"""Materials as relief tiles: how a cloth's surface modulates light, at about one tile pixel a photo pixel."""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from .colours import rgb_of, shade
from .noise import TILE_PX, noise_tile
from .patterns import pattern_tile

T = TILE_PX


class Surface(NamedTuple):
    """How a material behaves in light.

    ``relief``: depth of its tile in the shading. ``folds``: depth of the folds; ``drape``: their kind; ``fold_scale``:
    their size against the usual. ``gloss``: strength of highlights, ``tight``: how small these are. ``fuzz_px``: how
    far the outline blurs, for a product of 250 px. ``puff``: how round panels look.
    """

    relief: float
    folds: float
    drape: str
    fold_scale: float = 1.0
    gloss: float = 0.0
    tight: float = 1.0
    fuzz_px: float = 0.0
    puff: float = 0.5


SURFACES: dict[str, Surface] = {
    "denim": Surface(0.24, 0.12, "crease", 1.0, puff=0.45),
    "knit": Surface(0.34, 0.09, "soft", 1.0, fuzz_px=0.7, puff=0.6),
    "jersey": Surface(0.05, 0.15, "soft", 1.0, puff=0.4),
    "woven": Surface(0.08, 0.13, "crease", 1.1, puff=0.35),
    "leather": Surface(0.10, 0.15, "crumple", 0.9, gloss=0.55, tight=2.2, puff=0.7),
    "shell": Surface(0.07, 0.16, "crumple", 1.5, gloss=0.24, tight=1.6, puff=0.6),
    "fleece": Surface(0.20, 0.09, "soft", 0.9, fuzz_px=1.8, puff=0.7),
    "lace": Surface(0.34, 0.09, "soft", 1.0, puff=0.3),
    "satin": Surface(0.02, 0.20, "soft", 1.25, gloss=0.42, tight=1.2, puff=0.5),
    "canvas": Surface(0.22, 0.09, "crease", 0.9, puff=0.6),
    "rubber": Surface(0.02, 0.02, "soft", 1.0, gloss=0.5, tight=1.4, puff=0.9),
    "straw": Surface(0.52, 0.02, "soft", 1.0, fuzz_px=0.5, puff=0.9),
}
STEPS = (0.6, 0.8, 1.0, 1.3)  # the sizes at which a relief is made


def _grid() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:T, :T].astype(np.float32) + 0.5
    return x, y


def _cycles(period_px: float) -> int:
    return max(1, round(T / period_px))


def _denim(step: float) -> np.ndarray:
    """Diagonal twill, slubs along the warp, white weft specks."""
    x, y = _grid()
    n = _cycles(4.2 * step)
    twill = np.sin(2 * np.pi * (n * x + n * y) / T)
    slub = noise_tile(T, 3.2, 7.0, 41)
    specks = np.maximum(noise_tile(T, 2.6, 1.5, 42) - 1.2, 0)
    return 0.45 * twill + 0.35 * slub + 0.6 * specks + 0.45 * noise_tile(T, 120, 1.6, 43)


def _knit(step: float, cable: bool) -> np.ndarray:
    """Columns of V loops; a cable adds twisted ropes between them."""
    x, y = _grid()
    columns, rows = _cycles(8.5 * step), _cycles(6.2 * step)
    cx = (x * columns / T) % 1 - 0.5
    leg = np.abs(cx) * 2
    loops = np.cos(2 * np.pi * (y * rows / T - leg * 0.62)) * 0.7 - 1.3 * (np.abs(leg - 0.5) * 2) ** 3
    if not cable:
        return loops
    ropes = max(2, round(T / (46 * step)))
    cx, turns = (x * ropes / T) % 1 - 0.5, _cycles(30 * step)
    inside = np.abs(cx) < 0.27
    twist = np.cos(2 * np.pi * (y * turns / T) + cx * 9.0)
    rope = 1.5 * twist * np.cos(np.pi * cx / 0.56) + 0.25 * loops
    gap = np.exp(-(((np.abs(cx) - 0.3) / 0.035) ** 2))
    return np.where(inside, rope, 0.8 * loops) - 2.2 * gap


def _jersey(step: float) -> np.ndarray:
    return 0.6 * noise_tile(T, 3.5, 2.5, 51) + 0.8 * noise_tile(T, 9, 1.0, 52)


def _woven(step: float) -> np.ndarray:
    return 0.5 * noise_tile(T, 2.6, 6.0, 53) + 0.5 * noise_tile(T, 2.6, 6.0, 54).T + 0.3 * noise_tile(T, 40, 1, 55)


def _leather(step: float) -> np.ndarray:
    """Pebbled grain: ridges between small cells."""
    cells = -np.abs(noise_tile(T, 7 * step, 1.0, 56)) - 0.6 * np.abs(noise_tile(T, 4.5 * step, 1.0, 57))
    return 1.2 * (cells + 1.2) + 0.5 * noise_tile(T, 70, 1.0, 58)


def _shell(step: float) -> np.ndarray:
    return 0.6 * noise_tile(T, 5, 1.0, 59) - 1.0 * np.abs(noise_tile(T, 18 * step, 1.2, 60)) + 0.8


def _fleece(step: float) -> np.ndarray:
    """Curly pile: lumps with dark hollows, hairs over them."""
    lumps = noise_tile(T, 9 * step, 1.0, 61)
    return 0.8 * lumps - 0.7 * np.abs(noise_tile(T, 6.5 * step, 1.0, 62)) + 0.4 * noise_tile(T, 2.8, 2.0, 63) + 0.5


def _satin(step: float) -> np.ndarray:
    return noise_tile(T, 3, 8.0, 64)


def _canvas(step: float) -> np.ndarray:
    """Coarse plain weave: over and under in turn."""
    x, y = _grid()
    n = _cycles(5.0 * step)
    weave = np.sin(2 * np.pi * n * x / T) * np.sin(2 * np.pi * n * y / T)
    return 0.9 * weave + 0.35 * noise_tile(T, 3.0, 5.0, 65) + 0.35 * noise_tile(T, 3.0, 5.0, 66).T


def _rubber(step: float) -> np.ndarray:
    return noise_tile(T, 3, 1.0, 67)


def _straw(step: float) -> np.ndarray:
    """Braids laid side by side: in each, strands cross in a herringbone."""
    x, y = _grid()
    rows, strands = _cycles(11 * step), _cycles(7.5 * step)
    cy = (y * rows / T) % 1 - 0.5
    strand = np.cos(2 * np.pi * (x * strands / T + np.abs(cy) * 1.1))
    gap = np.exp(-(((np.abs(cy) - 0.5) / 0.10) ** 2)) + 0.5 * np.exp(-((cy / 0.07) ** 2))
    return 0.8 * strand - 1.3 * gap + 0.45 * noise_tile(T, 6, 0.3, 68)


def _lace(step: float) -> np.ndarray:
    return _lace_cover(step).astype(np.float32) / 127.5 - 1.0


def _lace_cover(step: float) -> np.ndarray:
    """Thread coverage of lace, uint8 (T, T): a net with flowers worked into it; 0 is a hole."""
    x, y = _grid()
    n = _cycles(7.0 * step)
    net = np.minimum(np.abs(np.sin(np.pi * n * (x + y) / T)), np.abs(np.sin(np.pi * n * (x - y) / T)))
    net = (net < 0.34).astype(np.uint8) * 255
    flowers = pattern_tile(np.random.default_rng(69), "floral", 2, 1.1 * step)
    outline = cv2.morphologyEx(flowers, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    veins = (np.sin(2 * np.pi * _cycles(4) * (x + y) / T) > -0.3) & (flowers > 0)
    cover = np.maximum(net, np.where(veins | (outline > 0), 255, 0).astype(np.uint8))
    cover[(flowers > 0) & ~veins & (outline == 0)] = 120
    return cv2.GaussianBlur(cover, (0, 0), 0.6)


@lru_cache(maxsize=128)
def relief(material: str, step: float, variant: int = 0) -> np.ndarray:
    """The relief tile of a material, uint8 (TILE_PX, TILE_PX), 128 neutral, periodic."""
    if material == "knit":
        field = _knit(step, cable=variant % 3 == 2)
    else:
        makers = {
            "denim": _denim,
            "jersey": _jersey,
            "woven": _woven,
            "leather": _leather,
            "shell": _shell,
            "fleece": _fleece,
            "satin": _satin,
            "canvas": _canvas,
            "rubber": _rubber,
            "straw": _straw,
            "lace": _lace,
        }
        field = makers[material](step)
    field = field - field.mean()
    return np.clip(128 + field * (48 / max(float(field.std()), 1e-6)), 0, 255).astype(np.uint8)


@lru_cache(maxsize=16)
def lace_cover(step: float) -> np.ndarray:
    """How much of each pixel lace thread covers, uint8 (TILE_PX, TILE_PX)."""
    return _lace_cover(step)


def nearest_step(unit: float) -> float:
    return min(STEPS, key=lambda step: abs(step - unit))


def cloth_rgb(label: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Colour indices (h, w) painted with ``palette`` float (k, 3), edges softened as a lens does; uint8 (h, w, 3)."""
    painted = np.clip(palette, 0, 255).astype(np.uint8)[label]
    return cv2.GaussianBlur(painted, (3, 3), 0.7, borderType=cv2.BORDER_REFLECT_101)


def fabric(
    rng: np.random.Generator, pattern: str, colours: list[str] | tuple[str, ...], material: str, size_px: int
) -> np.ndarray:
    """A flat piece of cloth, evenly lit: uint8 (size_px, size_px, 3) RGB.

    ``colours`` are names of colours.COLOURS or '#rrggbb', the ground first; ``pattern`` and ``material`` are
    values of the schema. The piece wraps at 256 px (sizes beyond repeat it). graphic and colorblock need a product to
    be placed on and give a plain cloth here.
    """
    palette = np.stack([rgb_of(c) if c.startswith("#") else shade(rng, c, material) for c in colours])
    label = pattern_tile(rng, pattern, len(colours), float(np.clip(size_px / 256, 0.6, 1.5)))
    surface = SURFACES[material]
    light = relief(material, nearest_step(size_px / 256), int(rng.integers(3))).astype(np.float32)
    light = 1 + surface.relief * (light - 128) / 96
    piece = np.clip(cloth_rgb(label, palette) * light[..., None], 0, 255).astype(np.uint8)
    repeats = -(-size_px // T)
    return np.ascontiguousarray(np.tile(piece, (repeats, repeats, 1))[:size_px, :size_px])

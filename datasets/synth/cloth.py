"""A drawn fabric laid over a given silhouette and its folds."""

from typing import NamedTuple

import cv2
import numpy as np

from .colours import MATERIALS_OF, pattern_weights, shade
from .materials import SURFACES, lace_cover, nearest_step, relief
from .noise import NOISE_PX, drape_tile, noise_tile, sample
from .paint import WRAP
from .patterns import pattern_tile
from .prints import NONE, PRINT_PX, print_tile

RIGID = ("shoes", "hat")
CLOTHS = {name: 1.0 for name in SURFACES if name not in ("straw", "rubber")}  # of products whose kind is unknown


class Look(NamedTuple):
    """``names``: of the colours, the ground of the fabric first."""

    material: str
    pattern: str
    names: tuple[str, ...]


class Cloth(NamedTuple):
    """``label`` uint8 (h, w): place in Look.names; ``colour`` float32 (h, w, 3) RGB 0..255, evenly lit; ``tone``
    float32 (h, w): light on weave and folds, about 1; ``shine`` float32 (h, w) 0..255, what gloss adds where the cloth
    is lit most; ``cover`` float32 (h, w) 0..1: below 1 in the holes of lace."""

    label: np.ndarray
    colour: np.ndarray
    tone: np.ndarray
    shine: np.ndarray
    cover: np.ndarray


def looks_of(category: str) -> dict[tuple[str, str], float]:
    """Weight of every (material, pattern) that a product of ``category`` may have; they sum to 1. The rare is likelier
    than in a shop: weights are the roots of the synthetic catalog's."""
    found = {}
    materials = _evened(MATERIALS_OF.get(category, CLOTHS))
    for material, weight in materials.items():
        for pattern, share in _evened(pattern_weights(category, material)).items():
            found[material, pattern] = weight * share
    return found


def _evened(weights: dict[str, float]) -> dict[str, float]:
    total = sum(weight**0.5 for weight in weights.values())
    return {name: weight**0.5 / total for name, weight in weights.items()}


def lay(
    rng: np.random.Generator, look: Look, category: str, mask: np.ndarray, shading: np.ndarray, turn: float = 0.0
) -> Cloth:
    """The fabric ``look`` over ``mask`` uint8 (h, w) whose folds are ``shading`` float32 (h, w), about 1."""
    height, width = mask.shape
    x, y, w, h = cv2.boundingRect(mask)
    side = max(w, h)
    unit = side / 250
    surface, step = SURFACES[look.material], nearest_step(unit)
    light = rng.normal(-np.pi / 2, 0.8)
    own = sample(drape_tile(surface.drape), height, width, rng.normal(0, 0.5), surface.fold_scale / unit, _shift(rng))
    own *= 14.0 * unit / surface.fold_scale * surface.folds * rng.uniform(0.15, 0.55)
    own *= 0.3 if category in RIGID else 1.0
    gx, gy = cv2.Sobel(own, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(own, cv2.CV_32F, 0, 1, scale=1 / 8)
    u, v = _coordinates(rng, shading, unit, turn)
    u, v = u + 2.2 * gx, v + 2.2 * gy

    label = _labels(rng, look, mask, (x, y, w, h), u, v, unit)
    palette = np.stack([shade(rng, name, look.material) for name in look.names])
    colour = cv2.GaussianBlur(palette[label], (5, 5), 0.85)
    texture = cv2.remap(relief(look.material, step, int(rng.integers(3))), u, v, cv2.INTER_LINEAR, borderMode=WRAP)
    tone = 1 + surface.relief / 96 * (texture.astype(np.float32) - 128)
    slope = gx * np.float32(np.cos(light)) + gy * np.float32(np.sin(light))
    tone *= np.clip(1 + 0.8 * slope, 0.6, 1.35)
    return Cloth(label, colour, tone, _shine(look, shading, mask, slope, colour), _cover(look, step, u, v))


def _shift(rng: np.random.Generator) -> tuple[float, float]:
    x, y = rng.uniform(0, NOISE_PX, 2)
    return float(x), float(y)


def _coordinates(rng: np.random.Generator, shading: np.ndarray, unit: float, turn: float):
    """Where on the cloth each pixel lies, px: turned a little, wavy as cloth lies, pulled along by the folds."""
    height, width = shading.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    smooth = cv2.GaussianBlur(np.log(shading), (0, 0), 2.0 * unit + 0.5)
    pull = 20.0 * unit * unit
    wave = [
        sample(noise_tile(NOISE_PX, wavelength, 1.0, 95), height, width, 0.0, 1 / unit, _shift(rng))
        for wavelength in (150, 150, 60, 60)
    ]
    waves = rng.uniform(0.5, 3.0) * unit
    x = x + pull * cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8) + waves * (wave[0] + 0.2 * wave[2])
    y = y + pull * cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8) + waves * (wave[1] + 0.2 * wave[3])
    cosine, sine = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    return cosine * x + sine * y, cosine * y - sine * x


def _labels(
    rng: np.random.Generator,
    look: Look,
    mask: np.ndarray,
    xywh: tuple[int, int, int, int],
    u: np.ndarray,
    v: np.ndarray,
    unit: float,
) -> np.ndarray:
    """Place in ``look.names`` of every pixel, uint8 (h, w)."""
    if look.pattern == "solid":
        return np.zeros(mask.shape, np.uint8)
    if look.pattern == "graphic":
        return _print(rng, len(look.names), mask, u, v)
    if look.pattern == "colorblock":
        return _blocks(rng, len(look.names), mask, xywh, u, v)
    tile = pattern_tile(rng, look.pattern, len(look.names), float(np.clip(unit * rng.uniform(0.8, 1.3), 0.6, 2.0)))
    return cv2.remap(tile, u, v, cv2.INTER_NEAREST, borderMode=WRAP)


def _blocks(rng, colours: int, mask: np.ndarray, xywh, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Large areas: cuts across, along or aslant that leave each colour its part of the product."""
    x, y, w, h = xywh
    across, down = (u - u[y + h // 2, x + w // 2]) / max(w, h), (v - v[y + h // 2, x + w // 2]) / max(w, h)
    kind = rng.random()
    if kind < 0.5:
        place = down
    elif kind < 0.65:
        place = across
    elif kind < 0.85:
        place = 0.6 * across + 0.8 * down
    else:
        place = np.abs(across)  # side panels
    inside = place[mask > 0]
    label = np.zeros(mask.shape, np.uint8)
    first = rng.uniform(0.3, 0.7 if colours == 2 else 0.45)
    label[place > np.quantile(inside, first)] = 1
    if colours > 2:
        label[place > np.quantile(inside, first + rng.uniform(0.2, 0.3))] = 2
    return label


def _print(rng, colours: int, mask: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A placed print in the widest part of the product."""
    distance = cv2.distanceTransform(cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT), cv2.DIST_L2, 3)
    distance = distance[1:-1, 1:-1]
    radius = float(distance.max())
    ys, xs = np.nonzero(distance > 0.8 * radius)
    # Of the wide places a high one: prints sit on the chest.
    pick = int(np.quantile(np.arange(len(ys)), rng.uniform(0.1, 0.6)))
    cx, cy = u[ys[pick], int(np.median(xs))], v[ys[pick], int(np.median(xs))]
    tile = print_tile(rng, colours)
    size = radius * rng.uniform(1.15, 1.75)
    # A print counts as one from 5 % of the product on.
    area = float(cv2.countNonZero(mask)) * 0.075 / max(0.1, float((tile != NONE).mean()))
    size = min(max(size, area**0.5), 2.2 * radius)
    size_x, size_y = size, size * rng.uniform(0.85, 1.15)
    px, py = (u - cx) * np.float32(PRINT_PX / size_x) + PRINT_PX / 2, (v - cy) * np.float32(PRINT_PX / size_y)
    printed = cv2.remap(
        tile, px, py + PRINT_PX / 2, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=NONE
    )
    return np.where(printed == NONE, 0, printed).astype(np.uint8)


def _shine(look: Look, shading: np.ndarray, mask: np.ndarray, slope: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """What gloss adds: where the photo's own folds, and the drawn ones, are lit most."""
    surface = SURFACES[look.material]
    if not surface.gloss:
        return np.zeros(mask.shape, np.float32)
    lit = np.log(shading) + 0.8 * slope
    low, high = np.percentile(lit[mask > 0], (60, 99))
    part = np.clip((lit - low) / max(0.06, high - low), 0, 1.2)
    room = 1.15 - colour[..., 1] * np.float32(0.8 / 255)
    return (130 * surface.gloss) * part ** (1 + surface.tight) * room


def _cover(look: Look, step: float, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    if look.material != "lace":
        return np.ones(u.shape, np.float32)
    return cv2.remap(lace_cover(step), u, v, cv2.INTER_LINEAR, borderMode=WRAP).astype(np.float32) / 255

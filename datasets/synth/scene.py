"""One picture: ground, products in their places, shadows, light, camera."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from .grounds import GROUNDS, ground
from .noise import camera_noise
from .paint import Light, paint
from .product import BUILDERS, Placed, Product, extent, make_pose, make_product, place

LEAST_VISIBLE = 0.3  # of a product's own area inside the picture
LEAST_SHARE = 0.05  # of the visible area: smaller colours are not named
MOST_COLOURS = 3
# Longest side of a product against the picture's, by how many products there are.
SIZES = {1: (0.82, 1.06), 2: (0.5, 0.72), 3: (0.44, 0.62), 4: (0.38, 0.52), 5: (0.34, 0.48), 6: (0.32, 0.44)}


class SynthProduct(NamedTuple):
    """A product in a picture: ``mask`` bool (h, w) of its visible part, its category and true attributes."""

    mask: np.ndarray
    category: str
    attributes: dict[str, Any]


class Spot(NamedTuple):
    placed: Placed
    hung: bool


def draw_light(rng: np.random.Generator) -> Light:
    angle = rng.normal(-np.pi / 2, 0.8)
    return Light((float(np.cos(angle)), float(np.sin(angle))), float(rng.uniform(0.2, 1.0)))


def _paste(canvas: np.ndarray, placed: Placed, values: np.ndarray) -> None:
    x0, y0, x1, y1 = placed.box
    canvas[y0:y1, x0:x1] |= values


def _candidate(
    rng: np.random.Generator, product: Product, size: int, scale: float, hung: bool, alone: bool
) -> Placed | None:
    """The product somewhere in the picture: one that lies alone near the middle; at times cut by the edge."""
    pose = make_pose(rng, product, scale, (0.0, 0.0), hung)
    low_x, low_y, high_x, high_y = extent(product, pose)
    beyond = 0.07 * size if rng.random() < 0.15 else 0.0
    shift = []
    for low, high in ((low_x, high_x), (low_y, high_y)):
        spare = size - (high - low)
        along = (rng.random() + rng.random()) / 2 if alone else rng.random()
        shift.append(float((spare * along if spare > 0 else spare / 2) - low + rng.uniform(-beyond, beyond)))
    pose.centre = (shift[0], shift[1])
    return place(product, pose, size)


def _arrange(rng: np.random.Generator, size: int, products: tuple[int, int], forced: dict[str, Any]) -> list[Spot]:
    """Products in painter's order, none hidden by more than 1 - LEAST_VISIBLE where that could be had."""
    count = int(rng.integers(products[0], products[1] + 1))
    names = list(BUILDERS)
    spots: list[Spot] = []
    covered = np.zeros((size, size), bool)
    hung_scene = rng.random() < 0.25
    for _ in range(count):
        category = forced.get("category") or names[int(rng.integers(len(names)))]
        scale = rng.uniform(*SIZES[count]) * size
        look = {key: forced[key] for key in ("material", "pattern", "colours") if key in forced}
        product = make_product(rng, scale / 250, category, **look)
        hung = hung_scene and product.shape.hang
        bearable = 0.30 if rng.random() < 0.5 else 0.04
        best, least = None, np.inf
        for _ in range(6 if spots else 1):
            placed = _candidate(rng, product, size, scale, hung, count == 1)
            if placed is None:
                continue
            x0, y0, x1, y1 = placed.box
            overlap = np.count_nonzero(placed.mask & covered[y0:y1, x0:x1]) / max(1, np.count_nonzero(placed.mask))
            if overlap < least:
                best, least = placed, overlap
            if overlap <= bearable:
                break
        if best is not None:
            spots.append(Spot(best, hung))
            _paste(covered, best, best.mask)
    return spots


def _visible(spots: list[Spot], size: int) -> list[np.ndarray]:
    """The visible part of each product, bool in its own crop: what no later product covers."""
    above = np.zeros((size, size), bool)
    parts = []
    for spot in reversed(spots):
        x0, y0, x1, y1 = spot.placed.box
        parts.append(spot.placed.mask & ~above[y0:y1, x0:x1])
        _paste(above, spot.placed, spot.placed.mask)
    return parts[::-1]


def drop_hidden(spots: list[Spot], size: int) -> tuple[list[Spot], list[np.ndarray]]:
    """Take out the most hidden product until none is hidden too much: it would be a label nobody can check."""
    while True:
        parts = _visible(spots, size)
        shares = [
            np.count_nonzero(part) / max(1, np.count_nonzero(s.placed.mask))
            for part, s in zip(parts, spots, strict=True)
        ]
        if len(spots) <= 1 or min(shares) >= LEAST_VISIBLE:
            return spots, parts
        del spots[int(np.argmin(shares))]


def cast_shadow(
    picture: np.ndarray, alpha: np.ndarray, box: tuple[int, int, int, int], light: Light, lift_px: float
) -> None:
    """Darken the ground beside the product, away from the light."""
    size = len(picture)
    x0, y0, x1, y1 = box
    reach = int(3 * lift_px) + 4
    ax0, ay0, ax1, ay1 = max(x0 - reach, 0), max(y0 - reach, 0), min(x1 + reach, size), min(y1 + reach, size)
    field = np.zeros((ay1 - ay0, ax1 - ax0), np.uint8)
    dx, dy = round(-light.direction[0] * lift_px), round(-light.direction[1] * lift_px)
    field[y0 - ay0 : y1 - ay0, x0 - ax0 : x1 - ax0] = alpha * 255
    matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float64)
    field = cv2.warpAffine(field, matrix, field.shape[::-1])
    # Three boxes are a Gaussian; two suffice for a shadow.
    k = max(3, int(lift_px * 1.6) | 1)
    field = cv2.blur(cv2.blur(field, (k, k)), (k, k))
    dark = 1 - field.astype(np.float32) * ((0.22 + 0.33 * light.hard) / 255)
    region = picture[ay0:ay1, ax0:ax1]
    region[:] = cv2.multiply(region, cv2.merge([dark] * 3), dtype=cv2.CV_8U)


def _hanger(rng: np.random.Generator, picture: np.ndarray, placed: Placed) -> None:
    """A hanger behind the neck: a hook and two arms."""
    shape, pose = placed.product.shape, placed.pose
    neck = np.array(shape.neck)
    hook = np.array([[0, -0.02], [0, -0.06], [0.02, -0.09], [0.03, -0.12], [0.01, -0.145], [-0.02, -0.135]])
    arms = np.array([[-0.20, 0.055], [0, -0.02], [0.20, 0.055]])
    grey = float(rng.uniform(60, 200))
    wooden = (150.0, 105.0, 60.0) if rng.random() < 0.4 else (grey, grey, grey)
    for points, colour, width in ((arms, wooden, 0.022), (hook, (grey, grey, grey), 0.009)):
        pixels = np.round(pose.pixels(points + neck) * 16).astype(np.int32)[:, None]
        cv2.polylines(picture, [pixels], False, colour, max(1, round(width * pose.scale)), cv2.LINE_AA, 4)


def named_colours(names: Sequence[str], areas: np.ndarray) -> list[str]:
    """The colours that a label names, largest area first; ``areas[i]`` px are of ``names[i]``, which may repeat."""
    by_name: dict[str, int] = {}
    for name, area in zip(names, areas, strict=False):
        by_name[name] = by_name.get(name, 0) + int(area)
    ranked = sorted(by_name.items(), key=lambda item: -item[1])
    named = [name for name, area in ranked if area >= LEAST_SHARE * areas.sum()][:MOST_COLOURS]
    return named or [ranked[0][0]]


def attributes_of(product: Product, label: np.ndarray, seen: np.ndarray) -> dict[str, Any]:
    """The true attributes of the visible part ``seen`` (bool, as ``label``).

    Colours by counting pixels, largest area first. A pattern that does not show in the visible part is not stated.
    """
    areas = np.bincount(label[seen], minlength=len(product.names))
    attributes: dict[str, Any] = {"color": named_colours(product.names, areas)}
    if product.pattern == "solid" or _pattern_shows(product, areas):
        attributes["pattern"] = product.pattern
    attributes["material"] = product.material
    return attributes


def _pattern_shows(product: Product, areas: np.ndarray) -> bool:
    """Whether at least two of the cloth's own colours are seen: a print's colours are enough when it is large."""
    own = areas[: product.own_colours]
    least = {"graphic": 0.015, "colorblock": 0.06}.get(product.pattern, 0.03) * areas.sum()
    return bool(np.sort(own)[-2] >= least if product.pattern != "graphic" else own[1:].sum() >= least)


def photographed(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """The light's colour and fall-off over the whole picture, exposure, a little noise.

    How far these go is as in photos that people take at home: white cloth at a lightness of 65 to 90, black at 5 to 25,
    colours duller than their dye. The ground is in the same light, so a look at both still tells the product's colour.
    """
    size = len(picture)
    warmth, tint = np.clip(rng.normal(0, 0.03), -0.07, 0.07), rng.normal(0, 0.01)
    # A camera takes the middle of the range for grey: white products come out darker, black ones lighter.
    measured = (130 / max(20.0, float(cv2.mean(cv2.resize(picture, (16, 16), interpolation=cv2.INTER_AREA))[1]))) ** 0.3
    exposure = measured * np.exp(rng.normal(-0.08, 0.13))
    gains = np.clip(exposure * np.array([1 + warmth, 1 + tint, 1 - warmth]), 0.5, 1.6).astype(np.float32)
    t = np.linspace(-1, 1, size, dtype=np.float32)
    angle, fall = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.09)
    ramp = 1 - np.float32(fall) * 0.7 * (np.float32(np.cos(angle)) * t[None] + np.float32(np.sin(angle)) * t[:, None])
    noise = camera_noise()
    y, x = rng.integers(0, len(noise) - min(size, len(noise) - 1), 2)
    grain = noise[y : y + size, x : x + size]
    if grain.shape[0] < size:
        grain = np.tile(noise, (2, 2, 1))[:size, :size]
    level = rng.uniform(0.03, 0.22)
    # Saturation mixes each channel with the grey; the ramp is applied to all alike.
    saturation, haze = rng.uniform(0.65, 1.02), rng.uniform(0.0, 14.0)
    grey = np.array([0.299, 0.587, 0.114])
    mix = (saturation * np.eye(3) + (1 - saturation) * grey) * gains[:, None]
    lit = cv2.transform(picture, np.hstack([mix, np.full((3, 1), haze)]).astype(np.float32))
    lit = cv2.multiply(lit, cv2.merge([ramp] * 3), dtype=cv2.CV_32F)
    return cv2.addWeighted(lit, 1.0, np.ascontiguousarray(grain), level, 0.0, dtype=cv2.CV_8U)


def compose(
    rng: np.random.Generator, size_px: int, products: tuple[int, int], ground_kind: str = "mixed", **forced: Any
) -> tuple[np.ndarray, list[SynthProduct]]:
    """A picture, uint8 (size_px, size_px, 3) RGB, and its products.

    ``forced`` may fix category, material, pattern and colours (a list of names) of every product.
    """
    kind = GROUNDS[int(rng.integers(len(GROUNDS)))] if ground_kind == "mixed" else ground_kind
    light = draw_light(rng)
    picture = ground(rng, kind, size_px, light)
    spots: list[Spot] = []
    while not spots:
        spots = _arrange(rng, size_px, products, forced)
    spots, parts = drop_hidden(spots, size_px)
    found = []
    for spot, part in zip(spots, parts, strict=True):
        placed = spot.placed
        painted = paint(placed, rng, light)
        if spot.hung:
            _hanger(rng, picture, placed)
        lift = placed.pose.scale * (rng.uniform(0.012, 0.04) if not spot.hung else rng.uniform(0.03, 0.06))
        cast_shadow(picture, painted.alpha, placed.box, light, max(1.0, lift))
        x0, y0, x1, y1 = placed.box
        region = picture[y0:y1, x0:x1]
        region[:] = cv2.blendLinear(painted.rgb, np.ascontiguousarray(region), painted.alpha, 1 - painted.alpha)
        mask = np.zeros((size_px, size_px), bool)
        mask[y0:y1, x0:x1] = part
        found.append(SynthProduct(mask, placed.product.category, attributes_of(placed.product, painted.label, part)))
    return photographed(rng, picture), found

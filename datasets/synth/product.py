"""One product of the synthetic catalog: what it is, what it is made of, where it lies."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np

from .accessories import ACCESSORIES
from .coats import COATS
from .colours import (
    MATERIALS_OF,
    choose_colours,
    choose_pattern,
    draw_weighted,
    rgb_of,
    second_colour,
    shade,
)
from .lowers import LOWERS
from .patterns import pattern_tile
from .prints import print_tile
from .shapes import Shape
from .uppers import UPPERS

BUILDERS = {**UPPERS, **COATS, **LOWERS, **ACCESSORIES}
SHIFT = 4


class Role(NamedTuple):
    """How a panel is painted: ``cloth`` shows the fabric (else one plain colour), ``tone`` darkens it, ``relief``
    scales the material's texture, ``prints`` carries a placed print."""

    cloth: bool = True
    tone: float = 1.0
    relief: float = 1.0
    prints: bool = False


ROLES: dict[str, Role] = {
    "body": Role(prints=True),
    "sleeve": Role(),
    "crown": Role(prints=True),
    "brim": Role(tone=0.97),
    "collar": Role(),
    "cuff": Role(),
    "hem": Role(),
    "band": Role(tone=0.97),
    "hood": Role(),
    "lapel": Role(),
    "placket": Role(),
    "pocket": Role(prints=True),
    "waistband": Role(),
    "strap": Role(),
    "bow": Role(),
    "ruffle": Role(),
    "belt": Role(tone=0.93),
    "tongue": Role(tone=0.9),
    "toecap": Role(),
    "pom": Role(),
    "inner": Role(tone=0.60, relief=0.5),
    "lining": Role(tone=0.45, relief=0.3),
    "insole": Role(cloth=False, tone=0.55, relief=0.3),
    "footbed": Role(cloth=False, tone=0.85, relief=0.4),
    "sole": Role(cloth=False, tone=0.97, relief=0.1),
    "cord": Role(cloth=False, relief=0.0),
    "hatband": Role(cloth=False, relief=0.3),
}


@dataclass
class Product:
    """What is drawn: ``names[i]`` names colour ``palette[i]``; ``plain`` gives roles one palette index each."""

    category: str
    material: str
    pattern: str
    shape: Shape
    names: list[str]
    palette: list[np.ndarray]
    plain: dict[str, int] = field(default_factory=dict)
    tile: np.ndarray | None = None
    print_label: np.ndarray | None = None
    cuts: list[tuple[float, float, float, int]] = field(default_factory=list)  # colour i where a*x + b*y > c (frame)
    variant: int = 0
    stitch: np.ndarray | None = None
    own_colours: int = 1  # how many of names are the cloth's; trims follow

    def colour(self, name: str, rgb: np.ndarray) -> int:
        self.names.append(name)
        self.palette.append(np.asarray(rgb, dtype=np.float32))
        return len(self.names) - 1


@dataclass
class Pose:
    """Where a product lies: frame -> pixels by scale, turn (rad), squash, centre (x, y) px; and how its outline warps."""

    scale: float
    angle: float
    squash: tuple[float, float]
    centre: tuple[float, float]
    waves: np.ndarray  # (k, 5): wx, wy, phase, amplitude x, amplitude y

    def warp(self, points: np.ndarray, sign: float = 1.0) -> np.ndarray:
        """Displace frame points (..., 2) by the sum of the waves."""
        moved = np.array(points, dtype=np.float64)
        for wx, wy, phase, ax, ay in self.waves:
            wave = np.sin(points[..., 0] * wx + points[..., 1] * wy + phase)
            moved[..., 0] += sign * ax * wave
            moved[..., 1] += sign * ay * wave
        return moved

    def matrix(self) -> np.ndarray:
        """(2, 2): frame column vector -> pixels, without the centre."""
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        return turn @ np.diag(self.squash) * self.scale

    def pixels(self, points: np.ndarray) -> np.ndarray:
        return self.warp(points) @ self.matrix().T + self.centre

    def all_pixels(self, lines: Sequence[np.ndarray]) -> list[np.ndarray]:
        """``pixels`` of many lines at once: most of the time would go into the calls."""
        if not lines:
            return []
        return np.split(self.pixels(np.concatenate(lines)), np.cumsum([len(points) for points in lines])[:-1])

    def frame(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) -> frame: the warp is small, so its inverse is its negative."""
        flat = (pixels - np.asarray(self.centre)) @ np.linalg.inv(self.matrix()).T
        return self.warp(flat, -1.0)


@dataclass
class Placed:
    """A rasterised product: ``part`` uint8 (h, w) is 0 outside, else 1 + panel index, in the crop at ``box`` xyxy."""

    product: Product
    pose: Pose
    box: tuple[int, int, int, int]
    part: np.ndarray
    cover: np.ndarray  # uint8 (h, w): the same with smooth edges, 0..255

    @property
    def mask(self) -> np.ndarray:
        return self.part > 0


def normalise(shape: Shape) -> Shape:
    """Centre the shape and scale its longer side to 1; stroke and mark sizes go along."""
    points = np.concatenate([panel.points for panel in shape.panels])
    low, high = points.min(0), points.max(0)
    centre, size = (low + high) / 2, float((high - low).max())
    for panel in shape.panels:
        panel.points = (panel.points - centre) / size
        panel.stroke /= size
    for mark in shape.marks:
        mark.points = (mark.points - centre) / size
        mark.size /= size
    if shape.print_box:
        cx, cy, w, h = shape.print_box
        shape.print_box = (float(cx - centre[0]) / size, float(cy - centre[1]) / size, w / size, h / size)
    shape.neck = (float(-centre[0] / size), float(-centre[1] / size))
    return shape


def _trim(product: Product, rng: np.random.Generator) -> None:
    """Colours of what is not cloth: soles, laces, linings, bands, buttons."""
    base, rgb = product.names[0], product.palette[0]
    if product.category == "shoes":
        sole = "white" if product.material == "canvas" and rng.random() < 0.75 else base
        if product.material == "leather" and rng.random() < 0.25:
            sole = str(rng.choice(["black", "brown", "white"]))
        sole_rgb = rgb * rng.uniform(0.75, 0.95) if sole == base and sum(rgb) < 600 else shade(rng, sole)
        product.plain["sole"] = product.colour(sole, sole_rgb)
        lining = base if rng.random() < 0.6 or product.pattern == "solid" else "beige"
        product.plain["insole"] = product.plain["footbed"] = product.colour(
            lining, rgb if lining == base else shade(rng, lining)
        )
        cord = base if rng.random() < 0.5 else "white"
        product.plain["cord"] = product.colour(
            cord, np.clip(rgb * 1.12 + 8, 0, 255) if cord == base else shade(rng, "white")
        )
    else:
        cord = base if rng.random() < 0.5 else "white"
        product.plain["cord"] = product.colour(cord, rgb * 0.86 if cord == base else shade(rng, "white"))
        if product.category == "hat":
            band = base if rng.random() < 0.45 else second_colour(rng, [base])
            product.plain["hatband"] = product.colour(band, rgb * 0.7 + 10 if band == base else shade(rng, band))
    button = base if rng.random() < 0.55 else str(rng.choice(["white", "black", "brown"]))
    product.plain["button"] = product.colour(button, rgb * 0.8 + 22 if button == base else shade(rng, button))
    product.plain["metal"] = product.colour("gray", rgb_of("#a5a7aa"))
    if product.material == "denim":
        product.stitch = rgb_of("#d39a4e" if rng.random() < 0.7 else "#e8dfcf")


def _blocks(product: Product, rng: np.random.Generator) -> None:
    """Give a colour-block product its blocks: whole parts, or cuts across the body."""
    roles = {panel.role for panel in product.shape.panels}
    last = len(product.names) - 1
    parts = [role for role in ("sleeve", "brim", "hood", "toecap", "tongue") if role in roles]
    if parts and rng.random() < 0.45 and product.category != "shoes":
        for role in (*parts, "collar", "cuff", "waistband"):
            if role in roles:
                product.plain[role] = 1 if role == parts[0] else last
        if rng.random() < 0.5:
            return
    kind = rng.random()
    if kind < 0.5:
        first = rng.uniform(-0.18, 0.02)
        product.cuts = [(0, 1, first, 1)] + ([(0, 1, first + rng.uniform(0.18, 0.3), last)] if last > 1 else [])
    elif kind < 0.7:
        product.cuts = [(1, 0, 0.0, 1)] + ([(0, 1, 0.15, last)] if last > 1 else [])
    elif kind < 0.85:
        product.cuts = [(0.6, 0.8, rng.uniform(-0.12, 0.1), 1)]
    else:
        product.cuts = [(1, 0, 0.14, 1), (-1, 0, 0.14, 1)]
    if product.category == "shoes":
        for role in ("toecap", "tongue", "strap"):
            product.plain[role] = 1


def make_product(
    rng: np.random.Generator,
    unit: float,
    category: str,
    material: str = "",
    pattern: str = "",
    colours: list[str] | None = None,
) -> Product:
    """A product of ``category``; what is not given is drawn by what goes together. ``unit``: see pattern_tile."""
    material = material or draw_weighted(rng, MATERIALS_OF[category])
    pattern = pattern or choose_pattern(rng, category, material)
    shape = BUILDERS[category](rng, material)
    if pattern == "graphic" and not shape.print_box:
        pattern = "solid"
    names = list(colours) if colours else choose_colours(rng, pattern, material)
    product = Product(
        category, material, pattern, normalise(shape), list(names), [shade(rng, name, material) for name in names]
    )
    product.own_colours = len(names)
    product.tile = pattern_tile(rng, pattern, len(names), unit)
    if pattern == "graphic":
        product.print_label = print_tile(rng, len(names))
    if pattern == "colorblock":
        _blocks(product, rng)
    for role, index in list(product.plain.items()):
        product.plain[role] = min(index, len(names) - 1)
    _trim(product, rng)
    product.variant = int(rng.integers(3))
    return product


def make_pose(
    rng: np.random.Generator, product: Product, scale: float, centre: tuple[float, float], hung: bool
) -> Pose:
    """A pose near upright, warped as cloth is when it is laid down; rigid products keep their outline."""
    solid = product.shape.solid
    any_way = rng.random() < 0.12 and not hung
    angle = rng.uniform(-np.pi, np.pi) if any_way else rng.normal(0, 0.04 if hung else 0.16)
    squash = (rng.uniform(0.88, 1.04), rng.uniform(0.9, 1.04))
    amount = 0.004 if solid else rng.uniform(0.004, 0.018)
    waves = np.stack(
        [
            rng.normal(0, 7, 4),
            rng.normal(0, 7, 4),
            rng.uniform(0, 2 * np.pi, 4),
            rng.normal(0, amount, 4),
            rng.normal(0, amount, 4),
        ],
        axis=1,
    )
    # Quicker waves are ripples of an edge: keep them small.
    waves[:, 3:] *= (6 / np.maximum(6, np.hypot(waves[:, 0], waves[:, 1])))[:, None] ** 1.5
    return Pose(scale, float(angle), squash, centre, waves)


def extent(product: Product, pose: Pose) -> np.ndarray:
    """xyxy of the outline in pixels, float (4,)."""
    points = pose.pixels(np.concatenate([panel.points for panel in product.shape.panels if panel.role != "cord"]))
    return np.concatenate([points.min(0), points.max(0)])


def place(product: Product, pose: Pose, size_px: int) -> Placed | None:
    """Rasterise the panels in painter's order inside the image; None when nothing of it is inside."""
    outlines = pose.all_pixels([panel.points for panel in product.shape.panels])
    everything = np.concatenate(outlines)
    margin = 6 + max(panel.stroke for panel in product.shape.panels) * pose.scale
    x0, y0 = np.maximum(np.floor(everything.min(0) - margin), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(everything.max(0) + margin), size_px).astype(int)
    if x1 - x0 < 8 or y1 - y0 < 8:
        return None
    part = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cover = np.zeros_like(part)
    for index, (panel, outline) in enumerate(zip(product.shape.panels, outlines, strict=True)):
        points = np.round((outline - (x0, y0)) * 16).astype(np.int32)[:, None]
        if panel.stroke:
            width = max(1, round(panel.stroke * pose.scale))
            cv2.polylines(part, [points], False, index + 1, width, cv2.LINE_8, SHIFT)
            cv2.polylines(cover, [points], False, 255, width, cv2.LINE_AA, SHIFT)
        else:
            cv2.fillPoly(part, [points], index + 1, cv2.LINE_8, SHIFT)
            cv2.fillPoly(cover, [points], 255, cv2.LINE_AA, SHIFT)
    return Placed(product, pose, (int(x0), int(y0), int(x1), int(y1)), part, cover)

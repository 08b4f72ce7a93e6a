"""Paint a placed product: cloth, folds, seams, light."""

from typing import NamedTuple

import cv2
import numpy as np

from .materials import SURFACES, lace_cover, nearest_step, relief
from .noise import NOISE_PX, drape_tile, noise_tile, sample
from .prints import NONE, PRINT_PX
from .product import ROLES, SHIFT, Placed

WRAP = cv2.BORDER_WRAP
HEADROOM = 0.86


class Light(NamedTuple):
    """``direction`` (x, y): where the light comes from on the picture's plane; ``hard`` 0..1."""

    direction: tuple[float, float]
    hard: float


class Painted(NamedTuple):
    """``rgb`` uint8 (h, w, 3); ``alpha`` float32 (h, w), what covers the ground; ``label`` uint8 (h, w), palette
    index of every pixel of the product."""

    rgb: np.ndarray
    alpha: np.ndarray
    label: np.ndarray


def _table(placed: Placed, value, dtype=np.float32) -> np.ndarray:
    """A look-up table over the part map; entry 0 is outside."""
    return np.array([value(None, -1), *(value(p, i) for i, p in enumerate(placed.product.shape.panels))], dtype=dtype)


def _frame_map(placed: Placed) -> np.ndarray:
    """Frame coordinates of every pixel of the crop, float32 (h, w, 2): exact on a coarse grid, linear between."""
    h, w = placed.part.shape
    step = 8
    gh, gw = h // step + 3, w // step + 3
    y, x = np.mgrid[:gh, :gw] * float(step) - step
    x0, y0 = placed.box[:2]
    coarse = placed.pose.frame(np.stack([x + x0, y + y0], -1) + (step - 1) / 2).astype(np.float32)
    return cv2.resize(coarse, (gw * step, gh * step), interpolation=cv2.INTER_LINEAR)[step : step + h, step : step + w]


def _height(
    placed: Placed, rng: np.random.Generator, unit: float, quilt: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Folds (float32, about -1..1 slope-normalised) and the roundness of panels, both heights in pixels."""
    surface = SURFACES[placed.product.material]
    h, w = placed.part.shape
    tile = drape_tile(surface.drape)
    scale = surface.fold_scale / max(unit, 0.3)
    angle = placed.pose.angle + rng.normal(0, 0.5)
    shift = tuple(rng.uniform(0, NOISE_PX, 2))
    folds = sample(tile, h, w, -angle, scale, shift) * (14.0 / scale)
    depth = surface.folds * (0.35 if placed.product.shape.solid else rng.uniform(0.6, 1.35))
    inside = placed.mask.astype(np.uint8)
    # A step between parts is where one lies on another: both round off towards it.
    edges = cv2.morphologyEx(placed.part, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8))
    inside[edges > 0] = 0
    if quilt is not None:
        inside[quilt > 0] = 0
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    radius = (16.0 if placed.product.shape.solid else 7.0) * unit + 1
    if quilt is not None:
        radius = 14.0 * unit + 1
    t = 1 - np.minimum(distance / radius, 1)
    rounded = np.sqrt(np.maximum(1 - t * t, 0)) * radius
    rounded = cv2.GaussianBlur(rounded, (0, 0), 1.0 * unit + 0.5)  # or its pixel steps would show as rays
    return folds * depth, rounded * (surface.puff * (0.42 if quilt is not None else 0.45))


def _dashes(points: np.ndarray, on: float, off: float) -> list[np.ndarray]:
    """An open line in pixels cut into dashes."""
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    starts = np.arange(0, max(lengths[-1] - on, 0) + 1e-6, on + off)
    places = np.stack([starts, starts + on], 1)
    xs, ys = np.interp(places, lengths, points[:, 0]), np.interp(places, lengths, points[:, 1])
    return [np.round(np.stack([x, y], 1) * 16).astype(np.int32)[:, None] for x, y in zip(xs, ys, strict=True)]


class _Lines:
    """Marks drawn onto three canvases: fine lines and soft folds (uint8, 128 neutral), and quilting (0/1)."""

    def __init__(self, placed: Placed, unit: float):
        self.placed, self.unit = placed, unit
        self.fine = np.full(placed.part.shape, 128, np.uint8)
        self.soft = np.full(placed.part.shape, 128, np.uint8)
        self.quilt: np.ndarray | None = None
        self.stitches: list[np.ndarray] = []
        self.discs: list[tuple[tuple[int, int], int, str]] = []
        self.zips: list[tuple[np.ndarray, int]] = []

    def draw(self) -> None:
        x0, y0 = self.placed.box[:2]
        marks = self.placed.product.shape.marks
        for mark, pixels in zip(marks, self.placed.pose.all_pixels([m.points for m in marks]), strict=True):
            pixels -= (x0, y0)
            points = np.round(pixels * 16).astype(np.int32)[:, None]
            self._one(mark.kind, pixels, points, mark.size * self.placed.pose.scale)

    def _line(self, canvas: np.ndarray, points: np.ndarray, value: int, width: float) -> None:
        cv2.polylines(canvas, [points], False, value, max(1, round(width)), cv2.LINE_AA, SHIFT)

    def _one(self, kind: str, pixels: np.ndarray, points: np.ndarray, size: float) -> None:
        if kind in ("seam", "edge"):
            beside = points + np.array([0, round(16 * max(1.0, self.unit))], np.int32)
            self._line(self.fine, beside, 168 if kind == "edge" else 150, size * 0.7)
            self._line(self.fine, points, 30 if kind == "edge" else 62, size * 0.8)
            if kind == "edge":
                self._line(self.soft, points, 60, 2.6 * size)
        elif kind == "stitch":
            self._line(self.soft, points, 108, 3 * self.unit)
            for dash in _dashes(pixels, 3.4 * self.unit + 0.6, 2.0 * self.unit + 0.6):
                if self.placed.product.stitch is not None:
                    self.stitches.append(dash)
                else:
                    self._line(self.fine, dash, 74, size)
        elif kind in ("fold", "pleat"):
            beside = points + np.array([round(16 * size * 0.9), 0], np.int32)
            self._line(self.soft, beside, 176, size * 1.2)
            self._line(self.soft, points, 40 if kind == "pleat" else 66, size * 1.2)
            if kind == "pleat":
                self._line(self.fine, points, 70, 1)
        elif kind == "rib":
            self._line(self.fine, points, 66, max(1.0, size * 0.7))
        elif kind in ("quilt", "quilt_sleeve"):
            self._quilt(kind, points)
        elif kind == "loop":
            self._line(self.fine, points, 60, size)
            self._line(self.fine, points, 138, size - 2)
        elif kind == "rip":
            self._line(self.fine, points, 235, size)
            self._line(self.fine, points, 120, 1)
        elif kind == "zip":
            self.zips.append((points, max(2, round(size))))
            self._line(self.soft, points, 70, size * 2.6)
            for side in (-1, 1):
                beside = points + np.array([round(16 * side * size * 0.95), 0], np.int32)
                self._line(self.fine, beside, 50, 1)
        else:
            centre = (int(points[0, 0, 0]), int(points[0, 0, 1]))
            self.discs.append((centre, max(12, round(size * 16)), kind))

    def _quilt(self, kind: str, points: np.ndarray) -> None:
        if self.quilt is None:
            self.quilt = np.zeros(self.placed.part.shape, np.uint8)
        wanted = "sleeve" if kind == "quilt_sleeve" else "body"
        roles = _table(self.placed, lambda p, i: p is not None and p.role == wanted, np.uint8)
        stripe = np.zeros_like(self.quilt)
        cv2.polylines(stripe, [points], False, 1, 1, cv2.LINE_8, SHIFT)
        self.quilt |= stripe & roles[self.placed.part]

    def draw_discs(self, label: np.ndarray) -> None:
        """Buttons, snaps, zips into the map of colours; rims and shine into the lines."""
        plain = self.placed.product.plain
        for points, width in self.zips:
            cv2.polylines(label, [points], False, plain["metal"], width, cv2.LINE_8, SHIFT)
            for dash in _dashes(points[:, 0] / 16.0, 1.0, 1.6):
                self._line(self.fine, dash, 60, width)
        for centre, radius, kind in self.discs:
            if kind == "eyelet":
                cv2.circle(self.fine, centre, radius, 20, -1, cv2.LINE_AA, SHIFT)
                continue
            cv2.circle(label, centre, radius, plain["metal" if kind == "snap" else "button"], -1, cv2.LINE_8, SHIFT)
            cv2.circle(self.fine, centre, radius + 8, 40, 1, cv2.LINE_AA, SHIFT)
            if radius > 40:
                cv2.circle(self.fine, centre, max(8, radius // 4), 60, -1, cv2.LINE_AA, SHIFT)


def _labels(placed: Placed, frame: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Palette index of every pixel, uint8 (h, w)."""
    product = placed.product
    if product.pattern in ("solid", "graphic", "colorblock"):
        label = np.zeros(placed.part.shape, np.uint8)
    else:
        label = cv2.remap(product.tile, u, v, cv2.INTER_NEAREST, borderMode=WRAP)
    for a, b, c, index in product.cuts:
        label[frame[..., 0] * a + frame[..., 1] * b > c] = index
    if product.print_label is not None:
        cx, cy, w, h = product.shape.print_box
        px = (frame[..., 0] - (cx - w / 2)) * (PRINT_PX / w)
        py = (frame[..., 1] - (cy - h / 2)) * (PRINT_PX / h)
        printed = cv2.remap(
            product.print_label, px, py, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=NONE
        )
        allowed = _table(placed, lambda p, i: p is not None and ROLES[p.role].prints, bool)[placed.part]
        label = np.where(allowed & (printed != NONE), printed, label)
    plain = _table(placed, lambda p, i: product.plain.get(p.role, NONE) if p is not None else NONE, np.uint8)[
        placed.part
    ]
    return np.where(plain == NONE, label, plain)


def _cloth_coordinates(placed: Placed, frame: np.ndarray, gx: np.ndarray, gy: np.ndarray):
    """Where on its cloth each pixel lies (px): each part's grain turned, each cut from its own place, and the slope of
    the folds (gx, gy) pulling the print along."""
    part, scale = placed.part, placed.pose.scale
    fx, fy = frame[..., 0] * scale + 2.2 * gx, frame[..., 1] * scale + 2.2 * gy
    cosine = _table(placed, lambda p, i: np.cos(p.grain) if p is not None else 1)
    if (cosine == 1).all():
        return fx, fy
    sine = _table(placed, lambda p, i: np.sin(p.grain) if p is not None else 0)
    c, s = cosine[part], sine[part]
    u = c * fx + s * fy + _table(placed, lambda p, i: 37 * i)[part]
    v = c * fy - s * fx + _table(placed, lambda p, i: 61 * i)[part]
    return u, v


def paint(placed: Placed, rng: np.random.Generator, light: Light) -> Painted:
    """The product in its crop, lit."""
    product, part = placed.product, placed.part
    surface = SURFACES[product.material]
    unit = placed.pose.scale / 250
    step = nearest_step(unit)
    lines = _Lines(placed, unit)
    lines.draw()
    folds, rounded = _height(placed, rng, unit, lines.quilt)
    height = folds + rounded
    gx, gy = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=1 / 8)

    frame = _frame_map(placed)
    u, v = _cloth_coordinates(placed, frame, gx, gy)
    label = _labels(placed, frame, u, v)
    lines.draw_discs(label)
    palette = np.clip(np.stack(product.palette), 0, 255).astype(np.uint8)
    colour = cv2.GaussianBlur(palette[label], (3, 3), 0.6)
    if lines.stitches:
        cv2.polylines(
            colour,
            lines.stitches,
            False,
            tuple(float(c) for c in product.stitch),
            max(1, round(unit)),
            cv2.LINE_AA,
            SHIFT,
        )

    texture = cv2.remap(relief(product.material, step, product.variant), u, v, cv2.INTER_LINEAR, borderMode=WRAP)
    tone = _table(placed, lambda p, i: ROLES[p.role].tone if p is not None else 1)[part]
    grain = _table(placed, lambda p, i: ROLES[p.role].relief * surface.relief / 96 if p is not None else 0)[part]
    slope = gx * light.direction[0] + gy * light.direction[1]
    lit = np.clip(1 + (0.55 + 0.6 * light.hard) * slope, 0.5, 1.4) + 0.035 * np.clip(folds, -4, 1) * surface.folds * 4
    fine = cv2.GaussianBlur(lines.fine, (3, 3), 0.5).astype(np.float32) - 128
    soft = cv2.GaussianBlur(lines.soft, (0, 0), 1.4 * unit + 0.3).astype(np.float32) - 128
    lit *= 1 + fine * (0.55 / 128) + soft * (0.45 / 128)
    lit *= tone * (1 + grain * (texture.astype(np.float32) - 128))
    # Highlights add less to what is bright already.
    room = 1.15 - colour[..., 1] * np.float32(0.8 / 255)
    # A little light comes back from the surface itself, whatever its dye: black cloth shows its folds by it.
    shine = 15.0 * (lit - 0.85)
    if surface.gloss:
        lx, ly = light.direction
        d = (gx - 0.22 * lx) ** 2 + (gy - 0.22 * ly) ** 2
        shine += (150 * surface.gloss) * np.exp(-d * (30.0 * surface.tight)) * (grain > 0) * tone * room
    # Below full white, so that highlights on white cloth still have somewhere to go.
    rgb = cv2.multiply(colour, cv2.merge([lit] * 3), scale=HEADROOM, dtype=cv2.CV_32F)
    rgb = cv2.add(rgb, cv2.merge([shine] * 3), dtype=cv2.CV_8U)
    return Painted(rgb, _alpha(placed, u, v, unit, step), label)


def _alpha(placed: Placed, u: np.ndarray, v: np.ndarray, unit: float, step: float) -> np.ndarray:
    """Coverage of the ground: soft by half a pixel, fuzzy for wool, with holes for lace."""
    surface = SURFACES[placed.product.material]
    mask = placed.cover.astype(np.float32) * np.float32(1 / 255)
    alpha = cv2.GaussianBlur(mask, (3, 3), 0.5)
    if surface.fuzz_px:
        wide = cv2.GaussianBlur(mask, (0, 0), surface.fuzz_px * unit + 0.4)
        hairs = sample(noise_tile(NOISE_PX, 3.5, 1.0, 90), *mask.shape, 0.0, 1.0, (3.0, 5.0))
        alpha = np.clip((wide - 0.5) * 2.2 + 0.5 + 0.22 * hairs * (wide < 0.98), 0, 1)
    if placed.product.material == "lace":
        holes = cv2.remap(lace_cover(step), u, v, cv2.INTER_LINEAR, borderMode=WRAP).astype(np.float32) / 255
        closed = _table(
            placed, lambda p, i: p is not None and p.role in ("band", "strap", "cuff", "waistband", "inner"), bool
        )
        alpha = alpha * np.where(closed[placed.part], 0.92, 0.30 + 0.70 * holes)
    return alpha

"""Shapes worn below the waist, and dresses."""

from collections.abc import Callable

import numpy as np

from .shapes import Shape, closed, line, mirrored, ribs
from .torso import back_of_neck, chest_print, sleeves, torso_of


def waistband(shape: Shape, width: float, depth: float, elastic: bool) -> None:
    """A band at the waist: with loops and a button, or gathered by elastic."""
    shape.panel(mirrored([(0, 0.02, 0.0), (width, 0, 0.0), (width * 1.01, depth), (0, depth + 0.02)]), "waistband")
    shape.mark([(-width, depth), (0, depth + 0.02), (width, depth)], "edge")
    if elastic:
        ribs(shape, (-width, 0.01), (width, 0.01), (0, depth), 26)
        return
    for x in (-0.7, -0.3, 0.3, 0.7):
        shape.mark([(x * width, -0.005), (x * width, depth + 0.015)], "loop", 0.03)
    shape.mark([(0.0, depth / 2 + 0.015)], "button", 0.024)


def _trousers(rng: np.random.Generator, material: str, length: float, ankle: float) -> Shape:
    """Two legs to ``length``; ``ankle`` is the width of each at its end."""
    elastic = material in ("jersey", "fleece", "shell", "satin") or (material == "woven" and rng.random() < 0.2)
    waist, hip = rng.uniform(0.36, 0.42), rng.uniform(0.46, 0.53)
    crotch = rng.uniform(0.56, 0.66)
    spread = rng.uniform(0.0, 0.14) * min(1.0, length)
    outer = max(hip * 0.62, ankle + 0.04) + spread
    shape = Shape(print_box=(0.27, crotch + 0.12, 0.28, 0.4) if length > 1.2 else (0.24, 0.42, 0.34, 0.34))
    half = [
        (0, 0.02),
        (waist, 0, 0.03),
        (hip, 0.38, 0.01),
        (outer, length, 0.0),
        (outer - ankle, length + 0.015, 0.0),
        (0, crotch),
    ]
    shape.panel(mirrored(half), "body")
    shape.mark(line([(0, 0.10), (0, crotch)]), "seam", 0.012)
    for drop, reach in ((0.0, 0.15), (0.05, 0.20)):
        if rng.random() < 0.6:
            shape.both(
                line([(0.03, crotch - drop, 0.05), (reach, crotch - drop - rng.uniform(0.0, 0.14))]), "fold", 0.014
            )
    waistband(shape, waist, 0.09, elastic)
    if elastic:
        if rng.random() < 0.6:
            for side in (-1, 1):
                shape.panel(line([(side * 0.02, 0.07, 0.1 * side), (side * 0.06, 0.30)]), "cord", stroke=0.022)
        shape.both(line([(waist * 0.98, 0.13), (hip * 0.92, 0.36)]), "edge", 0.012)
    else:
        shape.mark(line([(0.075, 0.11), (0.07, 0.34, 0.15), (0.0, 0.44)]), "stitch", 0.008)
        shape.both(line([(waist * 0.52, 0.10, -0.2), (hip * 0.93, 0.27)]), "edge", 0.012)
        shape.both(line([(waist * 0.50, 0.12, -0.2), (hip * 0.92, 0.30)]), "stitch", 0.007)
    _leg_marks(shape, rng, material, length, outer, ankle, crotch, hip)
    return shape


def _leg_marks(shape: Shape, rng, material: str, length: float, outer: float, ankle: float, crotch: float, hip: float):
    """Hems, knees, creases and side seams."""
    cuffed = material in ("jersey", "fleece") and length > 1.2 and rng.random() < 0.6
    inner = outer - ankle
    if cuffed:
        depth = 0.10
        shape.both_panels(
            closed(
                [
                    (inner - 0.01, length - depth),
                    (outer + 0.01, length - depth),
                    (outer - 0.02, length),
                    (inner + 0.02, length + 0.015),
                ]
            ),
            "cuff",
        )
        for side in (-1, 1):
            ribs(shape, (side * inner, length - depth), (side * outer, length - depth), (0, depth), 10)
        shape.both([(inner, length - depth), (outer, length - depth)], "edge")
    else:
        shape.both([(inner, length - 0.05), (outer, length - 0.055)], "stitch", 0.008)
    if length > 1.2:
        knee = (crotch + length) / 2 - 0.1
        for k in range(3):
            y = knee + 0.07 * k + rng.uniform(-0.02, 0.02)
            shape.both(
                line([((inner + outer) / 2 - 0.12, y, 0.1), ((inner + outer) / 2 + 0.08, y + 0.03)]), "fold", 0.02
            )
    if material == "woven" and rng.random() < 0.5:
        shape.both([(hip * 0.55, 0.15), ((inner + outer) / 2, length)], "pleat", 0.012)
    if material in ("denim", "woven"):
        shape.both([(hip * 0.93, 0.45), (outer - 0.035, length)], "seam", 0.006)
    if material == "denim" and rng.random() < 0.25:
        for y in (crotch + 0.25, crotch + 0.34):
            shape.both(line([((inner + outer) / 2 - 0.08, y), ((inner + outer) / 2 + 0.08, y + 0.02)]), "rip", 0.025)


def pants(rng: np.random.Generator, material: str) -> Shape:
    return _trousers(rng, material, rng.uniform(1.75, 2.15), rng.uniform(0.20, 0.36))


def shorts(rng: np.random.Generator, material: str) -> Shape:
    return _trousers(rng, material, rng.uniform(0.78, 1.05), rng.uniform(0.40, 0.50))


def _pleats(shape: Shape, top: float, bottom: float, top_x: float, bottom_x: float, count: int, kind: str) -> None:
    for t in np.linspace(-0.92, 0.92, count):
        shape.mark(line([(t * top_x, top, 0.0), (t * bottom_x, bottom)]), kind, 0.022 if kind == "fold" else 0.014)


def _wavy_hem(rng: np.random.Generator, x: float, y: float, depth: float) -> list:
    """The right half of a flared hem: waves where the cloth folds."""
    waves = int(rng.integers(3, 6))
    places = np.linspace(x, 0, waves + 1)
    return [(px, y + depth * (1 - (px / x) ** 2) * 0.9, 0.10 if i < waves else 0.0) for i, px in enumerate(places)]


def skirt(rng: np.random.Generator, material: str) -> Shape:
    kind = (
        "pencil"
        if material in ("leather",) and rng.random() < 0.6
        else str(rng.choice(["pencil", "flared", "pleated", "a-line"]))
    )
    waist = rng.uniform(0.33, 0.40)
    length = rng.uniform(0.85, 1.35)
    hem = {"pencil": 0.46, "a-line": 0.66, "flared": 0.85, "pleated": 0.74}[kind] * rng.uniform(0.92, 1.08)
    shape = Shape()
    if kind == "pencil":
        half = [(0, 0.02), (waist, 0, 0.05), (0.47, 0.4, 0.0), (hem, length), (0, length + 0.02)]
    else:
        half = [(0, 0.02), (waist, 0, 0.03 if kind == "a-line" else 0.0), *_wavy_hem(rng, hem, length * 0.94, 0.10)]
    shape.panel(mirrored(half), "body")
    waistband(shape, waist, rng.uniform(0.07, 0.11), elastic=kind == "flared" and rng.random() < 0.6)
    if kind in ("flared", "pleated"):
        _pleats(shape, 0.11, length, waist, hem, 9 if kind == "flared" else 13, "fold" if kind == "flared" else "pleat")
    elif material == "denim":
        shape.both(line([(waist * 0.52, 0.10, -0.2), (0.42, 0.27)]), "stitch", 0.008)
        for y in np.linspace(0.18, length - 0.1, 5) if rng.random() < 0.5 else ():
            shape.mark([(0, y)], "button", 0.024)
        shape.mark([(0, 0.1), (0, length)], "seam", 0.01)
    else:
        shape.both([(waist * 0.5, 0.1), (waist * 0.55, 0.30)], "seam", 0.008)
        if rng.random() < 0.5:
            shape.mark([(0.0, length * 0.72), (0.0, length + 0.02)], "edge", 0.012)
    shape.mark(
        line(
            [
                (-hem * 0.98, length * 0.94 - 0.05 if kind != "pencil" else length - 0.05, -0.03),
                (hem * 0.98, length * 0.94 - 0.05 if kind != "pencil" else length - 0.05),
            ]
        ),
        "stitch",
        0.006,
    )
    return shape


def dress(rng: np.random.Generator, material: str) -> Shape:
    waist_y, length = rng.uniform(0.68, 0.85), rng.uniform(1.55, 2.15)
    waist = rng.uniform(0.31, 0.38)
    hem = rng.uniform(0.48, 0.85)
    strappy = rng.random() < 0.25
    given = {
        "neck_d": rng.uniform(0.14, 0.30),
        "neck_round": 0.2 if rng.random() < 0.6 else 0.02,
        "shoulder": (0.38, 0.06),
        "armpit": (0.41, 0.40),
        "waist": (waist, waist_y),
        "hem": (hem, length),
    }
    if strappy:
        given |= {"neck_w": 0.21, "neck_d": 0.32, "shoulder": (0.25, 0.02), "neck_round": 0.1}
    torso = torso_of(rng, **given)
    shape = Shape(hang=True, print_box=chest_print(torso, rng))
    back_of_neck(shape, torso, depth=0.12 if strappy else 0.04, band=0.03)
    kind = (
        "none" if strappy else str(rng.choice(["none", "cap", "short", "half", "long"], p=[0.3, 0.2, 0.25, 0.1, 0.15]))
    )
    if kind != "none":
        puffed = rng.random() < 0.4 and kind in ("short", "half")
        sleeves(shape, rng, torso, kind, puff=0.06 if puffed else 0.0, cuff_length=0.04 if puffed else 0.0)
    half = torso.half()[:-3]
    waist, waist_y = torso.waist
    hem, length = torso.hem
    half += [(waist, waist_y, 0.02), *_wavy_hem(rng, hem, length, 0.07)]
    shape.panel(mirrored(half), "body")
    shape.panel(torso.neckline(), "band", stroke=0.03)
    cut = rng.random()
    if cut < 0.35:
        shape.panel(
            closed(
                [
                    (-waist - 0.01, waist_y - 0.04),
                    (waist + 0.01, waist_y - 0.04),
                    (waist + 0.01, waist_y + 0.04),
                    (-waist - 0.01, waist_y + 0.04),
                ]
            ),
            "belt",
        )
        for dy in (-0.04, 0.04):
            shape.mark([(-waist, waist_y + dy), (waist, waist_y + dy)], "edge")
    elif cut < 0.8:
        shape.mark(line([(-waist, waist_y, -0.02), (waist, waist_y)]), "edge", 0.012)
    if hem > 0.55:
        _pleats(shape, waist_y + 0.05, length, waist, hem, 9, "fold")
    if rng.random() < 0.25:
        for y in (length * 0.72, length * 0.86):
            x = float(np.interp(y, [waist_y, length], [waist, hem]))
            shape.mark(line([(-x, y, -0.04), (0, y + 0.04, -0.04), (x, y)]), "edge", 0.014)
    if rng.random() < 0.3:
        for y in np.linspace(torso.neck_d + 0.06, waist_y - 0.06, 4):
            shape.mark([(0, y)], "button", 0.018)
    return shape


LOWERS: dict[str, Callable[[np.random.Generator, str], Shape]] = {
    "pants": pants,
    "shorts": shorts,
    "skirt": skirt,
    "dress": dress,
}

"""Shapes worn above the waist: T-shirts to coats."""

from collections.abc import Callable

import numpy as np

from .shapes import Shape, closed, ellipse, line, mirrored, ribs
from .torso import (
    back_of_neck,
    chest_pocket,
    chest_print,
    front,
    hem_stitch,
    placket,
    rib_hem,
    shirt_collar,
    sleeves,
    torso_of,
)


def t_shirt(rng: np.random.Generator, material: str) -> Shape:
    v = rng.random() < 0.3
    torso = torso_of(rng, neck_d=0.26 if v else rng.uniform(0.10, 0.17), neck_round=0.02 if v else 0.17)
    shape = Shape(hang=True, print_box=chest_print(torso, rng))
    back_of_neck(shape, torso, band=0.04)
    sleeves(shape, rng, torso, "short")
    front(shape, torso, band=0.045)
    hem_stitch(shape, torso)
    return shape


def longsleeve(rng: np.random.Generator, material: str) -> Shape:
    warm = material in ("knit", "fleece")
    torso = torso_of(rng, neck_d=rng.uniform(0.09, 0.15))
    shape = Shape(hang=True, print_box=chest_print(torso, rng))
    turtle = warm and rng.random() < 0.3
    back_of_neck(shape, torso, band=0.05)
    sleeves(shape, rng, torso, "long", cuff_length=0.13 if warm else 0.07, rib=warm)
    front(shape, torso, band=0.0 if turtle else 0.07 if warm else 0.045)
    if turtle:
        w = torso.neck_w
        shape.panel(
            closed(
                [(-w * 0.92, -0.20, 0.04), (w * 0.92, -0.20, -0.05), (w * 1.12, 0.05, 0.12), (-w * 1.12, 0.05, -0.05)]
            ),
            "collar",
        )
        ribs(shape, (-w, -0.19), (w, -0.19), (0, 0.25), 18)
    if warm:
        rib_hem(shape, torso)
    else:
        hem_stitch(shape, torso)
    return shape


def shirt(rng: np.random.Generator, material: str) -> Shape:
    torso = torso_of(rng, neck_w=0.15, neck_d=0.12, hem_drop=0.02, hem_round=-0.05, hem=(0.48, 1.3))
    shape = Shape(hang=True)
    if rng.random() < 0.65:
        sleeves(shape, rng, torso, "long", cuff_length=0.11, cuff=0.18, gather=0.02)
    else:
        sleeves(shape, rng, torso, "short", cuff_length=0.06 if rng.random() < 0.4 else 0.0)
    front(shape, torso)
    placket(shape, rng, torso.neck_d, torso.hem[1] + 0.03, int(rng.integers(6, 8)))
    pockets = rng.random()
    if pockets < 0.75 or material == "denim":
        chest_pocket(shape, 0.24, 0.42, 0.19, material == "denim" or rng.random() < 0.2)
    if pockets < 0.3 or material == "denim":
        chest_pocket(shape, -0.24, 0.42, 0.19, material == "denim")
    shirt_collar(shape, torso, rng.uniform(0.14, 0.21))
    hem_stitch(shape, torso, 0.03)
    return shape


def polo(rng: np.random.Generator, material: str) -> Shape:
    torso = torso_of(rng, neck_w=0.16, neck_d=0.13)
    shape = Shape(hang=True, print_box=chest_print(torso, rng))
    sleeves(shape, rng, torso, "short" if rng.random() < 0.8 else "long", cuff_length=0.055, rib=True)
    front(shape, torso)
    placket(shape, rng, torso.neck_d - 0.01, torso.neck_d + rng.uniform(0.26, 0.36), int(rng.integers(2, 4)), 0.095)
    shape.mark([(-0.047, torso.neck_d + 0.26), (0.047, torso.neck_d + 0.26)], "seam")
    shirt_collar(shape, torso, 0.20, soft=True)
    hem_stitch(shape, torso)
    return shape


def undershirt(rng: np.random.Generator, material: str) -> Shape:
    """A tank top: broad straps, deep neck and armholes."""
    deep = rng.uniform(0.24, 0.36)
    torso = torso_of(
        rng,
        neck_w=0.18,
        neck_d=deep,
        neck_round=0.24,
        shoulder=(0.33, 0.03),
        armpit=(0.44, 0.47),
        waist=(0.43, 0.85),
        hem=(0.44, 1.3),
    )
    shape = Shape(hang=True, print_box=(0, deep + 0.4, 0.5, 0.5))
    back_of_neck(shape, torso, depth=0.10, band=0.035)
    half = torso.half()
    half[2] = (*torso.shoulder, -0.20)
    shape.panel(mirrored(half), "body")
    shape.panel(torso.neckline(), "band", stroke=0.035)
    arm = line([(*torso.shoulder, -0.20), torso.armpit])
    shape.both_panels(arm - (0.012, 0), "band", stroke=0.03)
    hem_stitch(shape, torso)
    return shape


def top(rng: np.random.Generator, material: str) -> Shape:
    """A camisole on thin straps, or a short wide-strapped top."""
    length = rng.uniform(0.72, 1.05)
    shape = Shape(print_box=(0, 0.55, 0.42, 0.42))
    flare = rng.uniform(0.36, 0.54)
    peak = rng.uniform(0.0, 0.06)
    strap = 0.03 if rng.random() < 0.7 else 0.09
    back = mirrored([(0, 0.25), (0.33, 0.20), (0.36, 0.32), (0, 0.4)])
    shape.both_panels(line([(0.20, 0.24), (0.19, -0.12 * rng.random())]), "inner", stroke=strap)
    shape.panel(back, "inner")
    dip = 0.06 if rng.random() < 0.6 else -0.02
    shape.panel(
        mirrored(
            [
                (0, 0.18 + peak + dip, -0.06),
                (0.21, 0.16, -0.06),
                (0.37, 0.30, 0),
                (0.37, 0.6, -0.02),
                (flare, length + 0.12, 0.02),
                (0, length + 0.16),
            ]
        ),
        "body",
    )
    shape.both_panels(line([(0.215, 0.18), (0.235, 0.0, 0.05), (0.20, -0.10)]), "strap", stroke=strap)
    neckline = line([(0.0, 0.18 + peak + dip, -0.06), (0.21, 0.16, -0.06), (0.37, 0.30)])
    shape.both(neckline + np.array([0, 0.03]), "stitch", 0.006)
    if rng.random() < 0.5:
        shape.mark(line([(-0.37, 0.5, -0.03), (0, 0.52, -0.03), (0.37, 0.5)]), "edge", 0.012)
        for x in np.linspace(-0.33, 0.33, 9):
            shape.mark([(x, 0.53), (x * 1.12, 0.66)], "fold", 0.02)
    if rng.random() < 0.4:
        shape.mark([(0, 0.24 + peak + dip)], "button", 0.02)
    return shape


def blouse(rng: np.random.Generator, material: str) -> Shape:
    """Wide, gathered: puffed or bell sleeves, a bow, ruffle or tie at the neck."""
    torso = torso_of(
        rng,
        neck_w=0.16,
        neck_d=0.18,
        neck_round=0.12,
        waist=(0.46, 0.8),
        hem=(0.56, 1.2),
        hem_round=-0.02,
        hem_drop=0.03,
    )
    shape = Shape(hang=True)
    back_of_neck(shape, torso, band=0.03)
    if rng.random() < 0.55:
        sleeves(shape, rng, torso, "long", cuff=0.17, puff=0.12, cuff_length=0.09, gather=0.06)
    else:
        sleeves(shape, rng, torso, "half", cuff=0.46, puff=0.02)
    front(shape, torso, band=0.03)
    for x in np.linspace(-0.3, 0.3, 7):
        shape.mark([(x * 0.7, 0.24), (x * 1.25, 0.24 + rng.uniform(0.3, 0.6))], "fold", 0.02)
    kind = rng.random()
    d = torso.neck_d
    if kind < 0.45:
        for side in (-1, 1):
            loop = closed([(0, d), (0.17, d - 0.07, 0.2), (0.19, d + 0.06, 0.1)])
            tail = closed([(0.0, d), (0.06, d), (0.13, d + 0.36), (0.05, d + 0.38)])
            shape.panel(tail * (side, 1), "bow", 0.4 * side)
            shape.panel(loop * (side, 1), "bow", 0.9 * side)
        shape.panel(ellipse(0, d, 0.035, 0.04), "bow")
    elif kind < 0.75:
        for k in range(2):
            y = d + 0.03 + 0.12 * k
            points = np.stack([np.linspace(-0.24, 0.24, 40), y + 0.025 * np.sin(np.linspace(0, 28, 40)) + 0.10], 1)
            shape.panel(np.concatenate([[(-0.15, y - 0.03)], points, [(0.15, y - 0.03)]]), "ruffle")
            for x in np.linspace(-0.2, 0.2, 8):
                shape.mark([(x * 0.7, y), (x, y + 0.11)], "fold", 0.015)
    else:
        placket(shape, rng, d, torso.hem[1], 7, 0.06)
    hem_stitch(shape, torso, 0.03)
    return shape


UPPERS: dict[str, Callable[[np.random.Generator, str], Shape]] = {
    "t-shirt": t_shirt,
    "longsleeve": longsleeve,
    "shirt": shirt,
    "polo": polo,
    "undershirt": undershirt,
    "top": top,
    "blouse": blouse,
}

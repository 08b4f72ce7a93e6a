"""Shapes worn over others, and the baby's body: hoodies, blazers, jackets, coats."""

from collections.abc import Callable

import numpy as np

from .shapes import Shape, closed, line, mirrored
from .torso import (
    Torso,
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


def hood(shape: Shape, torso: Torso, up: float = 0.40) -> None:
    """A hood that lies above the neck, its opening dark."""
    w = torso.neck_w
    shape.panel(
        mirrored(
            [(0, -up, 0.12), (0.27, -up * 0.72, 0.12), (0.30, 0.02, 0.05), (w + 0.06, 0.12), (0, torso.neck_d + 0.05)]
        ),
        "hood",
    )
    shape.panel(
        mirrored(
            [
                (0, -up * 0.72, 0.14),
                (0.17, -up * 0.42, 0.08),
                (0.15, 0.02, 0.0),
                (0.02, torso.neck_d + 0.04),
                (0, torso.neck_d + 0.05),
            ]
        ),
        "inner",
    )
    shape.mark(line([(0, -up, 0.0), (0, -up * 0.72)]), "seam")
    rim = line([(0.02, torso.neck_d + 0.04), (0.15, 0.02, -0.08), (0.17, -up * 0.42, -0.14), (0, -up * 0.72)])
    shape.both(rim, "edge", 0.012)


def hood_collar(shape: Shape, torso: Torso) -> None:
    """The two fronts of the hood that cross over the neckline."""
    d, w = torso.neck_d, torso.neck_w
    shape.both_panels(closed([(0, d - 0.03), (w * 0.9, -0.09, 0.05), (w + 0.13, 0.06, 0.1), (0.02, d + 0.10)]), "hood")
    shape.both(line([(0, d + 0.1), (w + 0.12, 0.07)]), "edge")


def kangaroo(shape: Shape, y: float, width: float, height: float) -> None:
    pocket = [
        (-width * 0.32, y),
        (width * 0.32, y),
        (width / 2, y + height * 0.55, 0),
        (width / 2, y + height),
        (-width / 2, y + height),
        (-width / 2, y + height * 0.55),
    ]
    shape.panel(closed(pocket), "pocket")
    shape.mark(closed(pocket), "seam")
    shape.both(line([(width * 0.32, y), (width / 2, y + height * 0.55)]), "edge", 0.014)


def zip_front(shape: Shape, top: float, bottom: float) -> None:
    shape.mark([(0, top), (0, bottom)], "zip", 0.022)


def hoodie(rng: np.random.Generator, material: str) -> Shape:
    torso = torso_of(rng, neck_w=0.19, neck_d=0.12)
    zipped = rng.random() < 0.35
    shape = Shape(print_box=None if zipped else chest_print(torso, rng))
    hood(shape, torso, rng.uniform(0.34, 0.46))
    sleeves(shape, rng, torso, "long", cuff_length=0.12, rib=True, cuff=0.19, gather=0.025)
    front(shape, torso)
    rib_hem(shape, torso)
    kangaroo(shape, torso.hem[1] - 0.45, 0.62, 0.32)
    hood_collar(shape, torso)
    if zipped:
        zip_front(shape, torso.neck_d + 0.08, torso.hem[1] + 0.02)
    for side in (-1, 1):
        length = rng.uniform(0.22, 0.36)
        cord = line(
            [(side * 0.055, torso.neck_d + 0.06, 0.03), (side * rng.uniform(0.06, 0.09), torso.neck_d + 0.06 + length)]
        )
        shape.panel(cord, "cord", stroke=0.024)
    if shape.print_box:
        shape.print_box = (0, torso.neck_d + 0.37, 0.46, 0.46)
    return shape


def lapels(shape: Shape, torso: Torso, depth: float, wide: float) -> None:
    """Notched lapels that fold out from a V of ``depth``; the lining shows between them."""
    w = torso.neck_w
    shape.panel(mirrored([(0, -0.02, 0.06), (w, 0), (w * 0.8, 0.1), (0, depth)]), "lining")
    shape.panel(mirrored([(0, -0.055, 0.06), (w * 0.9, -0.03), (w, 0.03, -0.02), (0, 0.05)]), "inner")
    lapel = [(0.0, depth), (w * 0.72, 0.09), (w + 0.06, 0.16), (wide + 0.02, 0.20), (wide, 0.31, 0.03)]
    shape.both_panels(closed(lapel), "lapel", 0.25)
    collar = [(w * 0.60, 0.10), (w * 0.75, -0.055, 0.05), (w + 0.05, -0.01), (wide - 0.01, 0.13), (w + 0.055, 0.165)]
    shape.both_panels(closed(collar), "collar", -0.35)
    shape.both(line([(0.0, depth), (wide, 0.31, -0.03), (wide + 0.02, 0.20), (w + 0.06, 0.16)]), "edge", 0.012)
    shape.both(line([(w * 0.60, 0.10), (w + 0.055, 0.165)]), "edge", 0.01)


def flap_pocket(shape: Shape, x: float, y: float, width: float = 0.25, tilt: float = 0.03) -> None:
    flap = [
        (x - width / 2, y),
        (x + width / 2, y - tilt),
        (x + width / 2, y + 0.075 - tilt),
        (x - width / 2, y + 0.075),
    ]
    flap = [(abs(px), py) for px, py in flap]
    shape.both_panels(closed(flap), "pocket")
    shape.both(closed(flap), "edge", 0.009)


def blazer(rng: np.random.Generator, material: str) -> Shape:
    depth = rng.uniform(0.55, 0.78)
    torso = torso_of(
        rng, neck_w=0.16, neck_d=0.3, shoulder=(0.50, 0.07), armpit=(0.49, 0.42), waist=(0.43, 0.82), hem=(0.50, 1.34)
    )
    torso.neck_d, torso.neck_round = 0.25, 0.0
    shape = Shape(hang=True)
    sleeves(shape, rng, torso, "long", cuff=0.22)
    half = torso.half()
    half[-2:] = [(torso.hem[0], torso.hem[1], 0.02), (0.09, torso.hem[1] + 0.02, 0.12), (0.0, torso.hem[1] - 0.14)]
    shape.panel(mirrored(half), "body")
    lapels(shape, torso, depth, rng.uniform(0.24, 0.31))
    double = rng.random() < 0.25
    bottom = torso.hem[1] - 0.14
    shape.mark(line([(0, depth), (0.02 if not double else 0.12, bottom)]), "edge", 0.014)
    for y in np.linspace(depth + 0.02, depth + 0.22, int(rng.integers(1, 4))):
        for x in (-0.07, 0.07) if double else (-0.03,):
            shape.mark([(x, y)], "button", 0.028)
    flap_pocket(shape, 0.27, torso.hem[1] - 0.38)
    shape.panel(closed([(0.17, 0.46), (0.31, 0.44), (0.31, 0.475), (0.17, 0.495)]), "pocket")
    shape.mark(closed([(0.17, 0.46), (0.31, 0.44), (0.31, 0.475), (0.17, 0.495)]), "seam")
    shape.both(line([(0.24, 0.5), (0.23, 0.95)]), "seam", 0.008)
    return shape


def _quilted(shape: Shape, torso: Torso, rng: np.random.Generator) -> None:
    """Horizontal channels across the body; the sleeves get theirs from their own direction."""
    step = rng.uniform(0.13, 0.2)
    for y in np.arange(0.2, torso.hem[1] - 0.05, step):
        x = torso.side_x(max(y, 0.42)) if y > 0.40 else 0.46
        shape.mark(line([(-x, y, -0.02), (0, y + 0.01, -0.02), (x, y)]), "quilt", 0.012)
    for panel in [p for p in shape.panels if p.role == "sleeve"]:
        along = np.array([-np.sin(panel.grain), np.cos(panel.grain)])
        across = np.array([along[1], -along[0]])
        centre = panel.points.mean(0)
        places = (panel.points - centre) @ along
        for t in np.arange(places.min() + 0.12, places.max() - 0.05, step):
            shape.mark([centre + along * t - across * 0.3, centre + along * t + across * 0.3], "quilt_sleeve", 0.012)


def _jacket(rng: np.random.Generator, material: str) -> Shape:
    """A zipped jacket: stand collar or hood, slant pockets, ribbed or plain hem; quilted when it is a down jacket."""
    torso = torso_of(
        rng,
        neck_w=0.18,
        neck_d=0.10,
        shoulder=(0.49, 0.10),
        armpit=(0.51, 0.46),
        waist=(0.51, 0.85),
        hem=(0.51, rng.uniform(1.1, 1.4)),
    )
    shape = Shape(hang=True)
    hooded = material == "shell" and rng.random() < 0.45
    if hooded:
        hood(shape, torso)
        shape.hang = False
    sleeves(shape, rng, torso, "long", cuff_length=0.09, cuff=0.21, rib=rng.random() < 0.5, gather=0.02)
    front(shape, torso)
    if material == "shell" and rng.random() < 0.5:
        _quilted(shape, torso, rng)
    if hooded:
        hood_collar(shape, torso)
    else:
        w = torso.neck_w
        shape.panel(
            closed([(-w, -0.13, 0.05), (w, -0.13, -0.03), (w * 1.16, 0.05, 0.1), (-w * 1.16, 0.05, -0.03)]), "collar"
        )
        shape.panel(mirrored([(0, -0.135, 0.06), (w * 0.93, -0.125, 0.05), (0, -0.03)]), "inner")
        shape.mark(line([(-w * 1.16, 0.05, -0.1), (w * 1.16, 0.05)]), "edge")
    rib_hem(shape, torso, 0.10) if rng.random() < 0.5 else hem_stitch(shape, torso)
    zip_front(shape, -0.05 if not hooded else torso.neck_d, torso.hem[1] + 0.02)
    y = torso.hem[1] - 0.42
    shape.both(line([(0.22, y), (0.30, y + 0.20)]), "zip", 0.018)
    return shape


def _trucker(rng: np.random.Generator, material: str) -> Shape:
    """The denim jacket: collar, metal buttons, chest pockets with flaps, V seams, waistband."""
    torso = torso_of(rng, neck_w=0.16, neck_d=0.12, hem=(0.46, 1.12), shoulder=(0.49, 0.08))
    shape = Shape(hang=True)
    sleeves(shape, rng, torso, "long", cuff_length=0.09, cuff=0.20)
    front(shape, torso)
    placket(shape, rng, torso.neck_d, torso.hem[1] + 0.02, 6, 0.09)
    for side in (-1, 1):
        chest_pocket(shape, side * 0.25, 0.38, 0.20, flap=True)
        for x0, x1 in ((0.17, 0.10), (0.33, 0.28)):
            shape.mark([(side * x0, 0.62), (side * x1, torso.hem[1] - 0.1)], "stitch", 0.007)
    shape.both(line([(0.05, 0.36), (0.46, 0.34)]), "stitch", 0.007)
    x, y = torso.hem
    shape.panel(closed([(-x, y - 0.10), (x, y - 0.10), (x * 0.97, y), (0, y + 0.02), (-x * 0.97, y)]), "waistband")
    shape.mark([(-x, y - 0.10), (x, y - 0.10)], "edge")
    shirt_collar(shape, torso, 0.22)
    return shape


def _coat(rng: np.random.Generator, material: str) -> Shape:
    """A long coat with lapels and big buttons."""
    torso = torso_of(
        rng,
        neck_w=0.16,
        neck_d=0.25,
        neck_round=0.0,
        shoulder=(0.49, 0.08),
        armpit=(0.51, 0.46),
        waist=(0.48, 0.9),
        hem=(0.60, rng.uniform(1.6, 2.0)),
    )
    shape = Shape(hang=True)
    sleeves(shape, rng, torso, "long", cuff=0.25)
    front(shape, torso)
    depth = rng.uniform(0.42, 0.6)
    lapels(shape, torso, depth, rng.uniform(0.28, 0.36))
    double = rng.random() < 0.5
    shape.mark(line([(0.0, depth), (0.06, torso.hem[1])]), "edge", 0.014)
    for y in np.linspace(depth + 0.06, depth + 0.6, 3):
        for x in (-0.13, 0.1) if double else (-0.02,):
            shape.mark([(x, y)], "button", 0.034)
    if rng.random() < 0.4:
        shape.panel(closed([(-0.5, 0.86), (0.5, 0.86), (0.5, 0.95), (-0.5, 0.95)]), "belt")
        shape.mark([(-0.49, 0.86), (0.49, 0.86)], "edge")
        shape.mark([(-0.49, 0.95), (0.49, 0.95)], "edge")
    flap_pocket(shape, 0.29, 1.12, 0.24, 0.0)
    return shape


def _biker(rng: np.random.Generator, material: str) -> Shape:
    """The leather jacket: a slanting zip between wide lapels, zipped pockets."""
    torso = torso_of(rng, neck_w=0.16, neck_d=0.22, neck_round=0.0, shoulder=(0.48, 0.08), hem=(0.44, 1.08))
    shape = Shape(hang=True)
    sleeves(shape, rng, torso, "long", cuff=0.19, cuff_length=0.06)
    front(shape, torso)
    lapels(shape, torso, 0.42, 0.33)
    shape.mark(line([(0.02, 0.42), (-0.17, torso.hem[1])]), "zip", 0.026)
    shape.mark([(0.16, 0.66), (0.36, 0.60)], "zip", 0.02)
    shape.mark([(0.18, 0.90), (0.34, 0.78)], "zip", 0.02)
    x, y = torso.hem
    shape.mark([(-x, y - 0.08), (x, y - 0.08)], "edge")
    shape.mark([(0.23, 0.245)], "snap", 0.02)
    shape.mark([(-0.23, 0.245)], "snap", 0.02)
    return shape


def outwear(rng: np.random.Generator, material: str) -> Shape:
    if material == "denim":
        return _trucker(rng, material)
    if material == "leather":
        return (_biker if rng.random() < 0.6 else _jacket)(rng, material)
    if material in ("fleece", "woven"):
        return (_coat if rng.random() < 0.75 else _jacket)(rng, material)
    return _jacket(rng, material)


def body(rng: np.random.Generator, material: str) -> Shape:
    """A baby's body: envelope neck, snaps at the crotch; or a romper with legs."""
    torso = torso_of(rng, neck_w=0.19, neck_d=0.13, hem=(0.44, 1.1), waist=(0.45, 0.8))
    shape = Shape(print_box=(0, 0.50, 0.46, 0.46))
    back_of_neck(shape, torso, band=0.04)
    if rng.random() < 0.85:
        sleeves(shape, rng, torso, "short" if rng.random() < 0.5 else "long", cuff=0.24, cuff_length=0.05)
    half = torso.half()[:-2]
    if rng.random() < 0.7:
        crotch = torso.hem[1] + 0.30
        half += [(0.45, torso.hem[1] - 0.06, -0.17), (0.15, crotch - 0.02, 0.03), (0, crotch)]
        shape.panel(mirrored(half), "body")
        leg = line([(0.45, torso.hem[1] - 0.06, -0.17), (0.15, crotch - 0.02)])
        shape.both_panels(leg - (0.008, 0.0), "band", stroke=0.035)
        shape.mark([(-0.15, crotch - 0.09), (0.15, crotch - 0.09)], "edge")
        for x in (-0.09, 0, 0.09):
            shape.mark([(x, crotch - 0.045)], "snap", 0.02)
    else:
        foot = torso.hem[1] + 0.75
        half += [
            (0.46, torso.hem[1], 0.02),
            (0.42, foot - 0.06, 0.15),
            (0.18, foot, 0.0),
            (0.15, foot - 0.1, -0.02),
            (0, torso.hem[1] + 0.14),
        ]
        shape.panel(mirrored(half), "body")
        shape.both([(0.16, foot - 0.14), (0.43, foot - 0.14)], "edge")
        for y in np.linspace(torso.neck_d + 0.06, torso.hem[1] + 0.1, 6):
            shape.mark([(0.0, y)], "snap", 0.02)
        shape.mark([(0.045, torso.neck_d), (0.045, torso.hem[1] + 0.15)], "seam")
        if shape.print_box:
            shape.print_box = (0, 0.55, 0.5, 0.5)
    shape.panel(torso.neckline(), "band", stroke=0.045)
    shape.both(
        line([(torso.neck_w, 0.0), (torso.neck_w + 0.10, 0.08, 0.05), (torso.shoulder[0] - 0.02, 0.20)]), "edge", 0.009
    )
    return shape


COATS: dict[str, Callable[[np.random.Generator, str], Shape]] = {
    "hoodie": hoodie,
    "blazer": blazer,
    "outwear": outwear,
    "body": body,
}

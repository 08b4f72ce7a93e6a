"""Shoes (usually a pair) and hats."""

from collections.abc import Callable

import numpy as np

from .shapes import Mark, Panel, Shape, closed, ellipse, line, mirrored, ribs

# Outlines of a right shoe. From above: heel at the bottom, toe at the top, the ball to the outer side.
_FOOT = [
    (0.0, -0.62, 0.14),
    (0.20, -0.40, 0.06),
    (0.235, -0.15, -0.03),
    (0.17, 0.35, 0.06),
    (0.15, 0.50, 0.30),
    (-0.13, 0.50, 0.06),
    (-0.16, 0.30, -0.06),
    (-0.19, -0.20, 0.05),
    (-0.16, -0.45, 0.12),
]


def _placed(shape: Shape, other: Shape, offset, angle: float = 0.0, mirror: bool = False, scale: float = 1.0) -> None:
    """Add ``other`` to ``shape``, turned, mirrored and moved."""
    cosine, sine = np.cos(angle) * scale, np.sin(angle) * scale
    turn = np.array([[cosine, sine], [-sine, cosine]])
    flip = np.array([-1.0 if mirror else 1.0, 1.0])
    for panel in other.panels:
        grain = (-panel.grain if mirror else panel.grain) + angle
        shape.panels.append(Panel((panel.points * flip) @ turn + offset, panel.role, grain, panel.stroke * scale))
    # Marks that belong under a later shoe must not show through it: they carry their shoe's place in the order.
    for mark in other.marks:
        shape.marks.append(Mark((mark.points * flip) @ turn + offset, mark.kind, mark.size * scale))


def _scaled(points, sx: float, sy: float, dy: float = 0.0) -> np.ndarray:
    return np.asarray(points) * (sx, sy) + (0, dy)


def _laces(shape: Shape, rows: np.ndarray, width: float) -> None:
    for i, y in enumerate(rows):
        w = width * (1 + 0.12 * i)
        shape.panel([(-w, y + 0.02), (w, y - 0.02)], "cord", stroke=0.032)
        shape.panel([(-w, y - 0.02), (w, y + 0.04)], "cord", stroke=0.026)
        shape.both([(w, y)], "eyelet", 0.014)


def _sneaker_above(rng: np.random.Generator, material: str) -> Shape:
    shape = Shape()
    foot = closed(_FOOT)
    shape.panel(_scaled(foot, 1.10, 1.06), "sole")
    shape.panel(foot, "body")
    if material in ("canvas", "rubber") and rng.random() < 0.7:
        shape.panel(closed([(0.0, -0.63, 0.14), (0.19, -0.42, -0.10), (-0.155, -0.46, 0.12)]), "toecap")
        shape.mark(line([(0.19, -0.42, -0.10), (-0.155, -0.46)]), "edge")
    shape.panel(closed([(0.01, -0.30, 0.2), (0.10, -0.20), (0.095, 0.18), (-0.085, 0.18), (-0.08, -0.2)]), "tongue")
    shape.panel(ellipse(0.0, 0.27, 0.105, 0.19), "insole")
    shape.panel(closed([(-0.085, 0.02, 0.0), (0.09, 0.02, 0.0), (0.075, 0.20, 0.15), (-0.07, 0.20)]), "tongue")
    shape.mark(ellipse(0.0, 0.27, 0.115, 0.20, start=-0.9, end=np.pi + 0.9), "edge", 0.018)
    _laces(shape, np.linspace(-0.24, 0.05, 4), 0.085)
    return shape


def _loafer_above(rng: np.random.Generator, material: str) -> Shape:
    """A ballerina or loafer: a big opening, a low vamp."""
    shape = Shape()
    foot = closed(_FOOT)
    shape.panel(_scaled(foot, 1.04, 1.03), "sole")
    shape.panel(foot, "body")
    top = rng.uniform(-0.34, -0.12)
    shape.panel(
        closed(
            [
                (0.0, top, 0.25),
                (0.15, top + 0.2, -0.02),
                (0.11, 0.42, 0.3),
                (-0.09, 0.42, -0.02),
                (-0.13, top + 0.2, 0.25),
            ]
        ),
        "insole",
    )
    shape.mark(
        closed(
            [
                (0.0, top, 0.25),
                (0.15, top + 0.2, -0.02),
                (0.11, 0.42, 0.3),
                (-0.09, 0.42, -0.02),
                (-0.13, top + 0.2, 0.25),
            ]
        ),
        "edge",
        0.016,
    )
    if rng.random() < 0.6:
        shape.panel([(-0.17, top - 0.03), (0.2, top - 0.05)], "strap", stroke=0.07)
        shape.mark([(0.0, top - 0.04)], "snap", 0.03)
    else:
        for side in (-1, 1):
            shape.panel(closed([(0, top - 0.03), (0.085, top - 0.08, 0.1), (0.09, top + 0.02, 0.1)]) * (side, 1), "bow")
    return shape


def _slide_above(rng: np.random.Generator, material: str) -> Shape:
    shape = Shape()
    foot = closed(_FOOT)
    shape.panel(_scaled(foot, 1.05, 1.03), "sole")
    shape.panel(foot * 0.97, "footbed")
    shape.mark(_scaled(foot, 0.85, 0.90), "seam", 0.01)
    if rng.random() < 0.45:
        for side in (-1, 1):
            shape.panel(line([(0.02, -0.40, 0.06 * side), (side * 0.21, 0.04)]), "body", stroke=0.075)
        return shape
    shape.panel(closed([(-0.22, -0.34, 0.10), (0.26, -0.34, 0.05), (0.25, 0.06, -0.08), (-0.21, 0.06, 0.05)]), "body")
    if material == "rubber" and rng.random() < 0.5:
        for x in (-0.1, 0.02, 0.14):
            for y in (-0.26, -0.15, -0.04):
                shape.mark([(x, y)], "eyelet", 0.022)
    return shape


def _pair(rng: np.random.Generator, make: Callable, material: str) -> Shape:
    """Left and right of one kind, side by side, a little turned."""
    state = rng.integers(1 << 31)
    pair = Shape(solid=True)
    gap, tilt = rng.uniform(0.27, 0.36), rng.uniform(-0.05, 0.22)
    for mirror in (True, False):
        single = make(np.random.default_rng(state), material)
        side = -1 if mirror else 1
        offset = (side * (gap + 0.3 * abs(tilt)), rng.uniform(-0.06, 0.06))
        _placed(pair, single, offset, side * tilt + rng.uniform(-0.05, 0.05), mirror)
    return pair


def _sneaker_side(rng: np.random.Generator, material: str) -> Shape:
    """A trainer from the side, toe to the right."""
    shape = Shape()
    high = rng.random() < 0.4
    top = -0.62 if high else -0.36
    upper = [
        (-0.55, top, 0.04),
        (-0.18, top + 0.02, -0.10),
        (0.22, -0.16, 0.05),
        (0.62, -0.04, 0.22),
        (0.70, 0.16),
        (-0.60, 0.16, 0.05),
    ]
    shape.panel(closed(upper), "body")
    shape.panel(closed([(-0.52, top - 0.01, 0.08), (-0.20, top + 0.01, 0.10), (-0.48, top + 0.06)]), "insole")
    if material in ("canvas", "rubber") and high:
        shape.panel(closed([(0.42, -0.075, 0.05), (0.63, -0.03, 0.22), (0.70, 0.16), (0.50, 0.16, -0.1)]), "toecap")
    shape.panel(closed([(-0.62, 0.12), (0.72, 0.12, 0.1), (0.70, 0.26, 0.03), (-0.62, 0.26, 0.05)]), "sole")
    shape.mark([(-0.62, 0.12), (0.72, 0.12)], "edge")
    shape.mark([(-0.62, 0.20), (0.71, 0.20)], "seam")
    shape.mark(line([(-0.30, 0.12, -0.10), (-0.42, top + 0.1)]), "seam", 0.012)
    shape.mark(line([(-0.1, 0.12, 0.12), (0.18, -0.13)]), "seam", 0.012)
    start, end = np.array([-0.17, top + 0.06]), np.array([0.22, -0.15])
    hole = np.array([-0.09, 0.085])
    for t in np.linspace(0.05, 0.95, 5):
        p = start + (end - start) * t
        shape.panel([p, p + hole], "cord", stroke=0.032)
        shape.mark([p + hole], "eyelet", 0.015)
    return shape


def _boot_side(rng: np.random.Generator, material: str) -> Shape:
    shape = Shape()
    top = rng.uniform(-1.25, -0.7)
    heel = 0.30 if rng.random() < 0.4 else 0.18
    upper = [
        (-0.52, top, 0.0),
        (-0.08, top + 0.02, -0.01),
        (-0.04, -0.42, -0.22),
        (0.58, -0.10, 0.25),
        (0.68, 0.12),
        (-0.56, 0.12, 0.02),
        (-0.48, -0.35, -0.02),
    ]
    shape.panel(closed(upper), "body")
    shape.panel(ellipse(-0.30, top + 0.01, 0.22, 0.045), "insole")
    shape.panel(
        closed([(-0.58, 0.10), (0.70, 0.10, 0.1), (0.68, 0.18), (-0.14, 0.18), (-0.2, heel), (-0.56, heel)]), "sole"
    )
    shape.mark([(-0.58, 0.10), (0.70, 0.10)], "edge")
    shape.mark(line([(-0.30, 0.1, -0.1), (-0.34, -0.4), (-0.34, top + 0.05)]), "seam")
    if rng.random() < 0.6:
        for t in np.linspace(0, 1, 6):
            p = np.array([-0.06, max(top + 0.12, -0.75)]) * (1 - t) + np.array([0.22, -0.27]) * t
            shape.panel(p + np.array([(-0.07, 0.06), (0.03, -0.01)]), "cord", stroke=0.03)
    else:
        shape.mark([(-0.22, top + 0.06), (-0.22, 0.0)], "zip", 0.02)
    for y in (-0.38, -0.30, -0.22):
        shape.mark(line([(-0.12, y, 0.1), (0.06, y + 0.05)]), "fold", 0.02)
    return shape


def _pump_side(rng: np.random.Generator, material: str) -> Shape:
    """A high-heeled shoe from the side, toe to the right."""
    shape = Shape()
    seat = -rng.uniform(0.05, 0.26)  # height of the heel's seat; the ground is at 0.2
    back = seat - 0.34
    upper = [
        (-0.60, back, 0.03),
        (-0.50, back - 0.01, -0.08),
        (0.12, -0.08, -0.10),
        (0.42, -0.02, 0.10),
        (0.80, 0.17, 0.02),
        (0.34, 0.19, -0.06),
        (-0.34, seat + 0.05, 0.0),
        (-0.64, seat, 0.05),
    ]
    shape.panel(closed([(-0.58, back - 0.02, 0.02), (0.14, -0.14, -0.05), (0.42, -0.04), (-0.5, seat)]), "insole")
    shape.panel(closed(upper), "body")
    slim = 0.06 if rng.random() < 0.6 else 0.15
    heel = [(-0.645, seat - 0.01), (-0.33, seat + 0.045, -0.12), (-0.57 + slim, 0.2), (-0.60, 0.2, -0.03)]
    shape.panel(closed(heel), "body")
    shape.panel(line([(0.30, 0.192), (0.79, 0.18)]), "sole", stroke=0.03)
    shape.mark(line([(-0.645, seat), (-0.33, seat + 0.05)]), "edge")
    return shape


def shoes(rng: np.random.Generator, material: str) -> Shape:
    above = {
        "leather": (_loafer_above, _sneaker_above),
        "canvas": (_sneaker_above,),
        "fleece": (_slide_above, _loafer_above),
        "rubber": (_slide_above,),
    }
    side = {
        "leather": (_boot_side, _pump_side, _sneaker_side),
        "canvas": (_sneaker_side,),
        "fleece": (_boot_side,),
        "rubber": (_boot_side, _slide_above),
    }
    choices = above[material] if rng.random() < 0.6 else side[material]
    make = choices[int(rng.integers(len(choices)))]
    if make in (_sneaker_above, _loafer_above, _slide_above):
        return _pair(rng, make, material)
    state = rng.integers(1 << 31)
    pair = Shape(solid=True)
    if rng.random() < 0.85:
        # The second shoe stands behind and a little above the first.
        _placed(
            pair,
            _unmarked(make(np.random.default_rng(state), material)),
            (rng.uniform(-0.3, -0.1), rng.uniform(-0.32, -0.2)),
        )
    _placed(pair, make(np.random.default_rng(state), material), (0.0, 0.0))
    return pair


def _unmarked(shape: Shape) -> Shape:
    """Without marks: those of a shoe behind would show on the one in front."""
    shape.marks = []
    return shape


def _cap(rng: np.random.Generator, material: str) -> Shape:
    """A baseball cap, seen from the front and a little above."""
    shape = Shape(solid=True, print_box=(0, -0.20, 0.42, 0.34))
    shape.panel(mirrored([(0, -0.52, 0.12), (0.34, -0.36, 0.10), (0.46, 0.10, 0.0), (0.0, 0.16)]), "crown")
    visor = [(0, 0.06, 0.06), (0.44, 0.08, 0.14), (0.50, 0.30, 0.16), (0, 0.47)]
    shape.panel(mirrored(visor), "brim")
    for k in (1, 2, 3):
        s = 1 - 0.10 * k
        shape.mark(
            line([(-0.50 * s, 0.30 * s + 0.02, -0.16), (0, 0.47 * s, -0.16), (0.50 * s, 0.30 * s + 0.02)]),
            "stitch",
            0.006,
        )
    shape.mark(line([(-0.45, 0.09, -0.05), (0, 0.06, -0.05), (0.45, 0.09)]), "edge", 0.016)
    shape.both(line([(0, -0.52, 0.10), (0.28, 0.06)]), "seam", 0.012)
    shape.mark([(0, -0.515)], "button", 0.03)
    shape.both([(0.22, -0.28)], "eyelet", 0.014)
    return shape


def _cap_side(rng: np.random.Generator, material: str) -> Shape:
    shape = Shape(solid=True, print_box=(0.10, -0.16, 0.36, 0.30))
    shape.panel(
        closed(
            [(-0.46, 0.10, 0.05), (-0.44, -0.14, 0.14), (-0.05, -0.44, 0.14), (0.38, -0.16, 0.08), (0.44, 0.10, 0.03)]
        ),
        "crown",
    )
    shape.panel(
        closed([(0.06, 0.06, 0.04), (0.42, 0.02, 0.08), (0.92, 0.20, 0.3), (0.86, 0.26, 0.06), (0.40, 0.16, 0.05)]),
        "brim",
    )
    shape.mark(line([(0.06, 0.06, 0.04), (0.42, 0.02)]), "edge", 0.014)
    shape.mark(line([(-0.05, -0.44, 0.1), (0.12, 0.07)]), "seam", 0.012)
    shape.mark(line([(-0.05, -0.44, -0.06), (-0.26, 0.10)]), "seam", 0.012)
    shape.mark([(-0.05, -0.435)], "button", 0.026)
    shape.mark([(0.0, -0.22)], "eyelet", 0.014)
    return shape


def _beanie(rng: np.random.Generator, material: str) -> Shape:
    shape = Shape(solid=True, print_box=None)
    tall = rng.uniform(0.5, 0.68)
    shape.panel(mirrored([(0, -tall, 0.16), (0.40, -0.22, 0.08), (0.44, 0.12), (0, 0.14)]), "crown")
    for t in np.linspace(-0.85, 0.85, 9):
        shape.mark(line([(t * 0.08, -tall + 0.04, 0.10 * t), (t * 0.44, 0.0)]), "fold", 0.014)
    shape.panel(mirrored([(0, 0.0, 0.03), (0.46, -0.02, 0.1), (0.45, 0.24, -0.02), (0, 0.27)]), "cuff")
    shape.mark(line([(-0.46, -0.02, -0.03), (0, 0.0, -0.03), (0.46, -0.02)]), "edge", 0.014)
    ribs(shape, (-0.45, 0.0), (0.45, 0.0), (0, 0.25), 22)
    if rng.random() < 0.5:
        pom = ellipse(0, -tall - 0.08, 0.15, 0.14, 44)
        pom += rng.normal(0, 0.008, pom.shape)
        shape.panel(pom, "pom")
    return shape


def _brimmed(rng: np.random.Generator, material: str) -> Shape:
    """A hat with a wide brim, seen obliquely from above."""
    shape = Shape(solid=True)
    rx, ry = rng.uniform(0.72, 0.9), rng.uniform(0.24, 0.46)
    shape.panel(ellipse(0, 0.05, rx, ry, 60), "brim")
    for s in (0.93, 0.82, 0.71):
        shape.mark(ellipse(0, 0.05, rx * s, ry * s, 60), "seam" if material == "straw" else "stitch", 0.008)
    w, tall = rng.uniform(0.36, 0.42), rng.uniform(0.40, 0.52)
    dent = 0.06 if rng.random() < 0.5 else -0.04
    shape.panel(
        mirrored(
            [
                (0, -tall + dent, 0.05),
                (w * 0.55, -tall - 0.01, 0.10),
                (w * 0.92, -tall + 0.14, 0.0),
                (w, 0.04, 0.14),
                (0, 0.16),
            ]
        ),
        "crown",
    )
    band = [(-w * 0.975, -0.09, -0.10), (w * 0.975, -0.09), (w, 0.04, 0.10), (-w, 0.04)]
    shape.panel(closed(band), "hatband")
    shape.mark(line([(-w * 0.975, -0.09, -0.10), (w * 0.975, -0.09)]), "edge", 0.01)
    shape.mark(line([(-w, 0.045, -0.11), (w, 0.045)]), "edge", 0.02)
    return shape


def _bucket(rng: np.random.Generator, material: str) -> Shape:
    shape = Shape(solid=True, print_box=(0, -0.16, 0.34, 0.26))
    flare = rng.uniform(0.56, 0.66)
    shape.panel(mirrored([(0, 0.06, 0.0), (0.40, 0.04, -0.03), (flare, 0.30, 0.16), (0, 0.42)]), "brim")
    shape.panel(mirrored([(0, -0.42, 0.04), (0.30, -0.38, 0.03), (0.41, 0.05, 0.10), (0, 0.13)]), "crown")
    shape.mark(line([(-0.31, -0.37, 0.10), (0.31, -0.37)]), "seam", 0.01)
    shape.mark(line([(-0.41, 0.05, -0.10), (0.41, 0.05)]), "edge", 0.018)
    for s in (0.3, 0.6, 0.85):
        x, y = 0.41 + (flare - 0.41) * s, 0.05 + 0.26 * s
        shape.mark(line([(-x, y, -0.12), (x, y)]), "stitch", 0.006)
    shape.both([(0.26, -0.2)], "eyelet", 0.014)
    return shape


def hat(rng: np.random.Generator, material: str) -> Shape:
    kinds = {
        "knit": (_beanie,),
        "fleece": (_beanie, _bucket),
        "straw": (_brimmed,),
        "leather": (_cap, _brimmed),
        "canvas": (_cap, _cap, _cap_side, _bucket),
        "woven": (_brimmed, _bucket, _cap),
    }[material]
    return kinds[int(rng.integers(len(kinds)))](rng, material)


ACCESSORIES: dict[str, Callable[[np.random.Generator, str], Shape]] = {"shoes": shoes, "hat": hat}

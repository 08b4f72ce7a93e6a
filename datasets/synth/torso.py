"""The parts of a garment for the upper body: torso, neck, sleeves, hems, collar, placket, pocket."""

from dataclasses import dataclass

import numpy as np

from .shapes import Shape, closed, line, mirrored, ribs


@dataclass
class Torso:
    """Measures of a body panel: neck half-width, depth and roundness; shoulder tip, armpit, waist, hem."""

    neck_w: float = 0.17
    neck_d: float = 0.13
    neck_round: float = 0.16
    shoulder: tuple[float, float] = (0.46, 0.09)
    armpit: tuple[float, float] = (0.48, 0.42)
    waist: tuple[float, float] = (0.47, 0.85)
    hem: tuple[float, float] = (0.49, 1.28)
    hem_drop: float = 0.02
    hem_round: float = 0.0

    def half(self) -> list:
        """The right half of the front, from the neckline down to the hem."""
        return [
            (0, self.neck_d, -self.neck_round),
            (self.neck_w, 0, 0.01),
            (*self.shoulder, -0.10),
            (*self.armpit, -0.01),
            (*self.waist, -0.01),
            (*self.hem, self.hem_round),
            (0, self.hem[1] + self.hem_drop),
        ]

    def neckline(self) -> np.ndarray:
        right = line([(0, self.neck_d, -self.neck_round), (self.neck_w, 0)])
        return np.concatenate([right[::-1] * (-1, 1), right[1:]])

    def side_x(self, y: float) -> float:
        """Half the width at height ``y``."""
        return float(
            np.interp(y, [self.armpit[1], self.waist[1], self.hem[1]], [self.armpit[0], self.waist[0], self.hem[0]])
        )


def torso_of(rng: np.random.Generator, **given) -> Torso:
    torso = Torso(**given)
    wide, long = rng.uniform(0.9, 1.12), rng.uniform(0.92, 1.1)
    for name in ("shoulder", "armpit", "waist", "hem"):
        x, y = getattr(torso, name)
        setattr(torso, name, (x * wide, y * (long if name in ("waist", "hem") else 1)))
    return torso


def back_of_neck(shape: Shape, torso: Torso, depth: float = 0.03, band: float = 0.0) -> None:
    """The inside of the back that shows above the front neckline."""
    shape.panel(
        mirrored([(0, depth, -0.1), (torso.neck_w, 0), (torso.neck_w, 0.03, 0.1), (0, torso.neck_d + 0.05)]), "inner"
    )
    if band:
        right = line([(0, depth + band / 2, -0.1), (torso.neck_w, band / 4)])
        shape.panel(np.concatenate([right[::-1] * (-1, 1), right[1:]]), "band", stroke=band)


def sleeve(
    shape: Shape,
    torso: Torso,
    side: int,
    angle: float,
    length: float,
    cuff: float,
    *,
    bend: float = 0.0,
    puff: float = 0.0,
    cuff_length: float = 0.0,
    rib: bool = False,
    gather: float = 0.0,
) -> None:
    """One sleeve, ``angle`` below the horizontal (rad), ``length`` long, ``cuff`` wide at its end."""
    s, a = np.array(torso.shoulder), np.array(torso.armpit)
    first = np.array([np.cos(angle), np.sin(angle)])
    second = np.array([np.cos(angle + bend), np.sin(angle + bend)])
    normal1, normal2 = np.array([first[1], -first[0]]), np.array([second[1], -second[0]])
    middle = (s + a) / 2 + first * length * 0.5
    end = middle + second * length * 0.5
    wide = np.linalg.norm(s - a)
    elbow = (wide * 0.9 + cuff) / 2 + puff
    joint = (normal1 + normal2) / np.linalg.norm(normal1 + normal2) * elbow / 2
    up, low = end + normal2 * cuff / 2, end - normal2 * cuff / 2
    outline = [
        (*(s * (0.7, 1)),),
        (*s, 0.05 + puff),
        (*(middle + joint), 0.02 + puff),
        (*up,),
        (*low, 0.02 + puff),
        (*(middle - joint), 0.02),
        (*a,),
        (a[0] * 0.72, a[1]),
    ]
    mirror = np.array([side, 1.0])
    grain = side * (np.arctan2(*(first + second)[::-1]) - np.pi / 2)
    shape.panel(closed(outline) * mirror, "sleeve", grain)
    if cuff_length:
        back = -second * cuff_length
        ends = (up, low) if not gather else (up + normal2 * gather, low - normal2 * gather)
        shape.panel(closed([(*(ends[0] + back),), (*up,), (*low,), (*(ends[1] + back),)]) * mirror, "cuff", grain)
        shape.mark(np.array([up + back, low + back]) * mirror, "edge")
        if rib:
            ribs(shape, up * mirror, low * mirror, back * mirror, 9)
    else:
        inset = -second * 0.035
        shape.mark(np.array([up + inset, low + inset]) * mirror, "stitch", 0.006)


def sleeves(shape: Shape, rng: np.random.Generator, torso: Torso, kind: str, **more) -> None:
    """A pair of sleeves: cap, short, half or long; laid out to the sides, hanging down, or one of them bent."""
    length = {"cap": 0.16, "short": 0.40, "half": 0.62, "long": 1.12}[kind] * rng.uniform(0.9, 1.1)
    cuff = {"cap": 0.33, "short": 0.31, "half": 0.25, "long": 0.20}[kind]
    cuff = more.pop("cuff", cuff)
    low, high = (0.35, 0.85) if kind in ("cap", "short") else (0.55, 1.32)
    angle = rng.uniform(low, high)
    for side in (-1, 1):
        bend = rng.uniform(-0.15, 0.35) if kind in ("half", "long") else 0.0
        sleeve(shape, torso, side, angle + rng.uniform(-0.1, 0.1), length, cuff, bend=bend, **more)


def front(shape: Shape, torso: Torso, band: float = 0.0) -> None:
    """The front panel with the armhole seams and, with ``band``, a band along the neckline."""
    shape.panel(mirrored(torso.half()), "body")
    if band:
        shape.panel(torso.neckline(), "band", stroke=band)
        shape.mark(torso.neckline() + np.array([0, band / 2]), "seam", 0.006)


def hem_stitch(shape: Shape, torso: Torso, up: float = 0.045) -> None:
    x, y = torso.hem
    shape.mark(
        line([(-x, y - up, torso.hem_round / 2), (0, y + torso.hem_drop - up, torso.hem_round / 2), (x, y - up)]),
        "stitch",
        0.006,
    )


def rib_hem(shape: Shape, torso: Torso, depth: float = 0.12) -> None:
    """A ribbed band at the hem."""
    (x, y), drop = torso.hem, torso.hem_drop
    up = torso.side_x(y - depth) * 1.0
    shape.panel(closed([(-up, y - depth), (up, y - depth), (x * 0.95, y), (0, y + drop), (-x * 0.95, y)]), "hem")
    shape.mark([(-up, y - depth), (0, y - depth + drop), (up, y - depth)], "edge")
    ribs(shape, (-x * 0.93, y - depth), (x * 0.93, y - depth), (0, depth + drop / 2), 40)


def chest_print(torso: Torso, rng: np.random.Generator) -> tuple[float, float, float, float]:
    top = torso.neck_d + 0.13
    size = rng.uniform(0.52, 0.68)
    return 0.0, top + size / 2, size, size


def shirt_collar(shape: Shape, torso: Torso, spread: float = 0.17, soft: bool = False) -> None:
    """Two collar leaves round the neck, the inside of the back collar between them."""
    w, d = torso.neck_w, torso.neck_d
    shape.panel(mirrored([(0, -0.075, 0.1), (w * 0.95, -0.05, 0.05), (w * 1.05, 0.02), (0, d)]), "inner")
    shape.mark(line([(-w * 0.9, 0.0, 0.06), (w * 0.9, 0.0)]), "edge")
    tip = (spread, d + (0.07 if soft else 0.12))
    leaf = [(0.005, d - 0.01), (w * 0.80, -0.085, 0.1), (w * 1.25, 0.015, 0.02), tip]
    shape.both_panels(closed(leaf), "collar")
    inner = [(0.04, d - 0.012), (tip[0] - 0.012, tip[1] - 0.03), (w * 1.17, 0.01)]
    shape.both(line(inner), "stitch", 0.005)


def placket(
    shape: Shape, rng: np.random.Generator, top: float, bottom: float, buttons: int, width: float = 0.085
) -> None:
    """A vertical strip with buttons."""
    shape.panel(closed([(-width / 2, top), (width / 2, top), (width / 2, bottom), (-width / 2, bottom)]), "placket")
    for x in (-width / 2, width / 2):
        shape.mark([(x, top), (x, bottom)], "seam")
    for y in np.linspace(top + 0.05, bottom - (0.12 if buttons > 4 else 0.05), buttons):
        shape.mark([(0, y)], "button", 0.021)


def chest_pocket(shape: Shape, x: float, y: float, size: float, flap: bool = False) -> None:
    pocket = [
        (x - size / 2, y),
        (x + size / 2, y),
        (x + size / 2, y + size * 0.9),
        (x, y + size * 1.1),
        (x - size / 2, y + size * 0.9),
    ]
    shape.panel(closed(pocket), "pocket")
    shape.mark(closed(pocket), "seam")
    if flap:
        shape.panel(
            closed(
                [
                    (x - size * 0.54, y - 0.03),
                    (x + size * 0.54, y - 0.03),
                    (x + size * 0.54, y + 0.05),
                    (x, y + 0.1),
                    (x - size * 0.54, y + 0.05),
                ]
            ),
            "pocket",
        )
        shape.mark(line([(x - size * 0.54, y + 0.05), (x, y + 0.1), (x + size * 0.54, y + 0.05)]), "edge")
        shape.mark([(x, y + 0.06)], "button", 0.018)
    else:
        shape.mark([(x - size / 2, y + 0.03), (x + size / 2, y + 0.03)], "stitch", 0.005)

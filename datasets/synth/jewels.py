"""Rings, earrings, bracelets and necklaces: what they are made of, in mm, and what that weighs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .metalwork import METAL, METAL_RGB, PEARL, STONE_RGB, Cut

# g/cm3: 18 carat gold, 18 carat rose gold, sterling silver, stainless steel; stones by their mineral (ruby and sapphire
# are corundum, emerald is beryl).
DENSITIES = {"gold": 15.4, "rose gold": 15.0, "silver": 10.4, "black steel": 7.9}
STONE_DENSITIES = {"diamond": 3.52, "ruby": 4.0, "sapphire": 4.0, "emerald": 2.7, "pearl": 2.7}
METALS = tuple(METAL_RGB)
STONES = ("none", *STONE_RGB, "pearl")
# Volume over width cubed of a brilliant: the trade's rule of carats for diamonds, 0.0061 width^2 depth (mm), at a depth of
# 0.6 widths.
_BRILLIANT = 0.0061 * 0.6 * 0.2 / 3.52 * 1000
_SAG_MM = 0.03  # a wire is drawn as balls so close that its outline waves by no more than this
_WALL_MM = 0.4  # bangles and beads are hollow


@dataclass
class Jewel:
    """A jewel in mm, seen from above: x to the right, y down, z towards the viewer; its middle near (0, 0).

    ``caps`` are arrays (n, 9) as metalwork.render_jewel takes them, ``cuts`` its cut stones; ``grams`` all it weighs.
    ``said``: attributes that belong to its category.
    """

    metal: str
    stone: str
    caps: list[np.ndarray] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    grams: float = 0.0
    said: dict[str, str] = field(default_factory=dict)

    def wire(self, points: np.ndarray, radius: float, wall: float | None = None) -> None:
        """A round wire along ``points`` (n, 3); with ``wall`` a hollow one."""
        steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
        at = np.concatenate([[0], np.cumsum(steps)])
        places = np.linspace(0, at[-1], 2 + int(at[-1] / np.sqrt(8 * radius * _SAG_MM)))
        centres = np.stack([np.interp(places, at, points[:, k]) for k in range(3)], 1)
        self._add(centres, radius, radius, METAL, np.gradient(centres, axis=0))
        inner = 0.0 if wall is None else max(radius - wall, 0.0)
        self._weigh(at[-1] * np.pi * (radius**2 - inner**2))

    def balls(self, centres: np.ndarray, radius: float, wall: float | None = None) -> None:
        """Metal beads at ``centres`` (n, 3)."""
        self._add(centres, radius, radius, METAL)
        inner = 0.0 if wall is None else max(radius - wall, 0.0)
        self._weigh(len(centres) * 4 / 3 * np.pi * (radius**3 - inner**3))

    def head(self, rng: np.random.Generator, centre: np.ndarray, half: float) -> None:
        """What catches the eye, ``half`` its half width: the stone in its bezel, a pearl, or a plate of metal."""
        self.plate(centre, half)
        if self.stone == "pearl":
            pearl = 0.8 * half
            self._add((centre + _by(0, 0, 0.6 * pearl))[None], pearl, pearl, PEARL)
            self.grams += STONE_DENSITIES["pearl"] * 4 / 3 * np.pi * pearl**3 / 1000
        elif self.stone != "none":
            self.cut(rng, centre, half)

    def plate(self, centre: np.ndarray, half: float) -> None:
        """A domed disc with a rim."""
        bend = 1.5 * half
        self._add((centre + _by(0, 0, -np.sqrt(bend**2 - half**2)))[None], bend, half, METAL)
        self._weigh(np.pi * half**2 * 0.8)
        self.wire(circle(half, centre), 0.09 * half + 0.2)

    def cut(self, rng: np.random.Generator, centre: np.ndarray, half: float) -> None:
        """A cut stone that fills a bezel of that half width."""
        stepped, turn = rng.random() < 0.3, float(rng.uniform(0, np.pi))
        if stepped:
            across, aspect = 0.74 * half, float(rng.uniform(1.0, 1.25))
        else:
            across, aspect = 0.92 * half, float(rng.choice([1.0, 1.0, 0.8]))
        self.cuts.append(Cut(self.stone, (float(centre[0]), float(centre[1])), across, aspect, stepped, turn))
        self.grams += STONE_DENSITIES[self.stone] * _BRILLIANT * aspect * (2 * across) ** 3 / 1000

    def _add(self, centres: np.ndarray, radius: float, reach: float, body: int, way: np.ndarray | None = None) -> None:
        rows = np.zeros((len(centres), 9))
        rows[:, :3], rows[:, 3:6] = centres, (radius, reach, body)
        if way is not None:
            rows[:, 6:] = way / np.linalg.norm(way, axis=1, keepdims=True)
        self.caps.append(rows)

    def _weigh(self, mm3: float) -> None:
        self.grams += DENSITIES[self.metal] * mm3 / 1000


def _by(x: float, y: float, z: float) -> np.ndarray:
    return np.array([x, y, z], float)


def circle(radius: float, centre: Sequence[float] = (0, 0, 0), tilt: float = 0.0, count: int = 90) -> np.ndarray:
    """A closed circle (count + 1, 3); ``tilt`` (rad) leans its upper edge towards the viewer."""
    angle = np.linspace(0, 2 * np.pi, count + 1)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    return np.stack([x, y * np.cos(tilt), -y * np.sin(tilt)], 1) + centre


def _along(points: np.ndarray, pitch: float) -> tuple[np.ndarray, np.ndarray]:
    """Places (n, 3) about ``pitch`` apart along a closed line, and the unit directions of the line there."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    at = np.concatenate([[0], np.cumsum(steps)])
    count = max(4, round(at[-1] / pitch))
    count += count % 2
    places = (np.arange(count) + 0.5) * at[-1] / count
    ends = [np.stack([np.interp(places + d, at, points[:, k]) for k in range(3)], 1) for d in (-0.1, 0.1)]
    way = ends[1] - ends[0]
    return (ends[0] + ends[1]) / 2, way / np.linalg.norm(way, axis=1, keepdims=True)


def _chain(jewel: Jewel, line: np.ndarray, kind: str, radius: float) -> None:
    """Beads of ``radius``, or links of that half width, along a closed line (n, 3)."""
    if kind == "beads":
        jewel.balls(_along(line, 2.1 * radius)[0], radius, _WALL_MM)
        return
    wire = 0.34 * radius
    angle = np.linspace(0, 2 * np.pi, 17)
    for i, (centre, way) in enumerate(zip(*_along(line, 2.2 * radius), strict=True)):
        side = np.array([-way[1], way[0], 0.0])
        if i % 2:  # every other link stands on its edge
            side = np.array([0.0, 0.0, 1.0])
        jewel.wire(centre + np.outer(1.5 * radius * np.cos(angle), way) + np.outer(radius * np.sin(angle), side), wire)


def ring(rng: np.random.Generator, jewel: Jewel) -> None:
    """A round band, at times with a head."""
    band = rng.uniform(0.7, 2.3)
    radius, tilt = rng.uniform(8.2, 9.4) + band, rng.uniform(0, 0.9)
    jewel.wire(circle(radius, tilt=tilt), band)
    if jewel.stone != "none" or rng.random() < 0.3:
        half = rng.uniform(2.6, 4.6)
        top = -(radius + 0.4 * half)
        jewel.head(rng, np.array([0.0, top * np.cos(tilt), radius * np.sin(tilt) + band + 1]), half)


def earrings(rng: np.random.Generator, jewel: Jewel) -> None:
    """A pair of studs, hoops or drops."""
    kind = str(rng.choice(["stud", "hoop", "drop"]))
    jewel.said["earring"] = kind
    half, band, tilt = rng.uniform(3.2, 5.4), rng.uniform(0.6, 1.9), rng.uniform(0, 0.7)
    for side in (-1, 1):
        middle = np.array([side * rng.uniform(10.0, 11.5), rng.normal(0, 1.0), 0.0])
        if kind == "stud":
            jewel.head(rng, middle, half)
        elif kind == "hoop":
            radius = 7.6
            jewel.wire(circle(radius, middle, tilt), band)
            if jewel.stone != "none":
                jewel.head(rng, middle + _by(0, radius * np.cos(tilt) + 2.4, 2), 2.4)
        else:
            hook = np.array([[1.5, -8, 0], [2.6, -11.5, 0], [1.2, -14, 0], [-0.6, -13, 0], [0, -9, 0], [0, -half, 0]])
            jewel.wire(middle + hook + _by(0, 3, 0), 0.45)
            jewel.balls((middle + _by(0, 1.5 - half, 0.5))[None], 0.9 + 0.5 * band)
            jewel.head(rng, middle + _by(0, 3, 0.5), half)


def bracelet(rng: np.random.Generator, jewel: Jewel) -> None:
    """A bangle, or a closed string of beads or links, at times with a head."""
    kind = str(rng.choice(["none", "beads", "links"]))
    jewel.said["chain"] = kind
    thick, tilt = rng.uniform(1.5, 4.0), rng.uniform(0, 0.9)
    line = circle(rng.uniform(28, 30), tilt=tilt)
    if kind == "none":
        jewel.wire(line, thick, _WALL_MM)
    else:
        _chain(jewel, line, kind, thick)
    if jewel.stone != "none" or rng.random() < 0.3:
        jewel.head(rng, line[np.argmax(line[:, 2])] + _by(0, 0, thick + 1), rng.uniform(5.0, 8.0))


def necklace(rng: np.random.Generator, jewel: Jewel) -> None:
    """Beads or links laid as a drop, with a pendant."""
    kind = str(rng.choice(["beads", "links"]))
    jewel.said["chain"] = kind
    angle = np.linspace(0, 2 * np.pi, 121)
    wide, high = rng.uniform(28, 36), rng.uniform(42, 48)
    drop = np.stack([wide * np.sin(angle) * (1 - 0.32 * np.cos(angle)), -high * np.cos(angle) - 8, 0 * angle], 1)
    _chain(jewel, drop, kind, rng.uniform(1.1, 2.2))
    half, low = rng.uniform(8.0, 12.0), float(drop[:, 1].max())
    hangs = np.array([0.0, low + half + 1.5, 1.0])
    jewel.wire(circle(2.2, (0, low + 0.5, 1.5), count=24), 0.7)
    jewel.plate(hangs, half)
    if jewel.stone != "none":
        jewel.head(rng, hangs + _by(0, 0, 1), 0.62 * half)


BUILDERS: dict[str, tuple[Callable[[np.random.Generator, Jewel], None], float]] = {
    "ring": (ring, 36.0),
    "earrings": (earrings, 46.0),
    "bracelet": (bracelet, 88.0),
    "necklace": (necklace, 134.0),
}
"""By category: what builds it, and how many mm a side of its square picture shows: the scale is always the same."""

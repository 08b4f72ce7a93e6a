"""What a product is made of: panels, marks, and the geometry that draws them.

The frame of a shape: x to the right, y down, the neck or waist near (0, 0); half a chest is about 0.5. Outlines run
clockwise on the screen.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

Vertex = tuple[float, float] | tuple[float, float, float]


@dataclass
class Panel:
    """A piece of the product. ``points`` (n, 2); with ``stroke`` > 0 an open line of that width instead of an area.

    ``grain`` turns the cloth (rad, clockwise on the screen). ``role`` says what it is: see product.ROLES.
    """

    points: np.ndarray
    role: str
    grain: float = 0.0
    stroke: float = 0.0


@dataclass
class Mark:
    """A line or dot on the product: seam, edge, stitch, fold, pleat, quilt, rib, button, snap, eyelet, zip."""

    points: np.ndarray
    kind: str
    size: float = 0.01


@dataclass
class Shape:
    """Panels in painter's order, marks over them, ``print_box`` (cx, cy, width, height) where a print may sit."""

    panels: list[Panel] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    print_box: tuple[float, float, float, float] | None = None
    hang: bool = False  # may hang on a hanger, with the neck at (0, 0)
    solid: bool = False  # a rigid body (shoe, cap): rounder, fewer folds
    neck: tuple[float, float] = (0.0, 0.0)  # where the frame's origin came to lie

    def panel(self, points, role: str, grain: float = 0.0, stroke: float = 0.0) -> None:
        self.panels.append(Panel(np.asarray(points, dtype=np.float64), role, grain, stroke))

    def mark(self, points, kind: str, size: float = 0.01) -> None:
        self.marks.append(Mark(np.asarray(points, dtype=np.float64).reshape(-1, 2), kind, size))

    def both(self, points, kind: str, size: float = 0.01) -> None:
        """The mark and its mirror image."""
        points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        self.mark(points, kind, size)
        self.mark(points * (-1, 1), kind, size)

    def both_panels(self, points, role: str, grain: float = 0.0, stroke: float = 0.0) -> None:
        points = np.asarray(points, dtype=np.float64)
        self.panel(points, role, grain, stroke)
        self.panel(points * (-1, 1), role, -grain, stroke)


def edge(start, end, bulge: float = 0.0, steps: int = 10) -> np.ndarray:
    """Points from ``start`` to just before ``end``, bowed outwards by ``bulge`` of its length: (steps, 2)."""
    start, end = np.asarray(start, dtype=np.float64)[:2], np.asarray(end, dtype=np.float64)[:2]
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    across = end - start
    bow = np.array([across[1], -across[0]]) * (4 * bulge)
    return start + across * t + bow * t * (1 - t)


def closed(vertices: list[Vertex]) -> np.ndarray:
    """An outline through (x, y, bulge of the edge that leaves it); a missing bulge is 0."""
    pairs = zip(vertices, [*vertices[1:], vertices[0]], strict=True)
    return np.concatenate([edge(a, b, a[2] if len(a) > 2 else 0.0) for a, b in pairs])


def line(vertices: list[Vertex]) -> np.ndarray:
    """The same for an open line."""
    parts = [edge(a, b, a[2] if len(a) > 2 else 0.0) for a, b in pairwise(vertices)]
    return np.concatenate([*parts, np.asarray(vertices[-1], dtype=np.float64)[None, :2]])


def mirrored(half: list[Vertex]) -> np.ndarray:
    """A closed symmetric outline from its right half, which runs from the top of the axis to its bottom."""
    left = []
    for current, before in zip(half[:0:-1], half[-2::-1], strict=True):
        left.append((-current[0], current[1], before[2] if len(before) > 2 else 0.0))
    return closed([*half[:-1], *left])


def ribbon(centre: np.ndarray, start_width: float, end_width: float) -> np.ndarray:
    """A closed band along ``centre`` (n, 2)."""
    centre = np.asarray(centre, dtype=np.float64)
    along = np.gradient(centre, axis=0)
    normal = np.stack([along[:, 1], -along[:, 0]], 1) / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    half = np.linspace(start_width, end_width, len(centre))[:, None] / 2
    return np.concatenate([centre + normal * half, (centre - normal * half)[::-1]])


def ribs(shape: Shape, a, b, depth, count: int) -> None:
    """Fine ribs across a band that runs from ``a`` to ``b`` and is ``depth`` (vector) deep."""
    a, b, depth = (np.asarray(v, dtype=np.float64) for v in (a, b, depth))
    for t in (np.arange(count) + 0.5) / count:
        start = a + (b - a) * t
        shape.mark([start, start + depth], "rib", 0.008)


def ellipse(cx: float, cy: float, rx: float, ry: float, steps: int = 40, start: float = 0, end: float = 2 * np.pi):
    """Points of an ellipse (steps, 2), clockwise on the screen from angle ``start`` to ``end``."""
    t = np.linspace(start, end, steps, endpoint=end - start < 2 * np.pi - 1e-9)
    return np.stack([cx + rx * np.cos(t), cy + ry * np.sin(t)], 1)

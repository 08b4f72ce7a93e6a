"""Fabric patterns as maps of colour indices: what is counted is what is drawn."""

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from .noise import TILE_PX, noise_tile

T = TILE_PX
SHIFT = 4  # cv2 draws at 1/16 px


def _fixed(value: float) -> int:
    return round(value * 16)


def _blank(spacing: float) -> np.ndarray:
    """An empty tile for motifs ``spacing`` apart: the smaller these, the sooner it may repeat, and so few are drawn."""
    side = T if spacing > 30 else T // 2
    return np.zeros((side, side), np.uint8)


def _wraps(label: np.ndarray, x: float, y: float, reach: float) -> list[tuple[float, float]]:
    """(x, y) and its copies across the tile's edges within ``reach``, so that motifs continue on the other side."""
    side = len(label)
    xs = [x, *([x + side] if x < reach else []), *([x - side] if x > side - reach else [])]
    ys = [y, *([y + side] if y < reach else []), *([y - side] if y > side - reach else [])]
    return [(wx, wy) for wx in xs for wy in ys]


def _places(
    rng: np.random.Generator, label: np.ndarray, spacing: float, jitter: float
) -> Iterator[tuple[float, float]]:
    """Positions on a staggered jittered grid that wraps: x, y."""
    rows = max(2, 2 * round(len(label) / spacing / 2))
    step = len(label) / rows
    for row in range(rows):
        for column in range(rows):
            dx, dy = rng.uniform(-jitter, jitter, 2) * step
            yield (column + (0.5 if row % 2 else 0.0) + 0.25) * step + dx, (row + 0.5) * step + dy


def _sequence(rng: np.random.Generator, colours: int, unit: float, least: float) -> np.ndarray:
    """A repeating row of stripes, uint8 (T,)."""
    width = rng.uniform(least, 4.5 * least) * unit
    kind = rng.random()
    if colours >= 3:
        parts = (
            [(0, 2 * width), (1, width), (0, 0.8 * width), (2, width)]
            if kind < 0.5
            else [(0, 1.4 * width), (1, width), (2, width)]
        )
    elif kind < 0.6:
        parts = [(0, width), (1, width * rng.uniform(0.6, 1.1))]
    else:
        parts = [(0, 2.6 * width), (1, width)]
    total = sum(size for _, size in parts)
    period = T / max(1, round(T / total))
    place = (np.arange(T) + 0.5) % period * (total / period)
    edges = np.cumsum([size for _, size in parts])
    return np.array([label for label, _ in parts], dtype=np.uint8)[
        np.searchsorted(edges, place, side="right").clip(0, len(parts) - 1)
    ]


def striped(rng: np.random.Generator, colours: int, unit: float) -> np.ndarray:
    row = _sequence(rng, colours, unit, 3.2)
    kind = rng.random()
    if kind < 0.68:
        return np.repeat(row[:, None], T, axis=1)
    if kind < 0.92:
        return np.repeat(row[None], T, axis=0)
    index = np.arange(T)
    return row[(index[:, None] + index[None]) % T]


def checked(rng: np.random.Generator, colours: int, unit: float) -> np.ndarray:
    """Gingham, tartan, windowpane or a chess board. Where warp and weft cross, threads alternate as in a real twill."""
    y, x = np.mgrid[:T, :T]
    kind = rng.random()
    if colours == 2 and kind < 0.2:
        period = 2 * max(5, rng.uniform(6, 18) * unit)
        cells = max(2, 2 * round(T / period / 2) * 2)
        return ((x * cells // T + y * cells // T) % 2).astype(np.uint8)
    if colours == 2 and kind < 0.45:
        period = T / max(3, round(T / (rng.uniform(14, 34) * unit)))
        line = max(2.0, 0.12 * period)
        return ((x % period < line) | (y % period < line)).astype(np.uint8)
    row = _sequence(rng, colours, unit, 4.5)
    return np.where(((x + y) // 2) % 2 == 0, row[None], row[:, None])


def dotted(rng: np.random.Generator, colours: int, unit: float) -> np.ndarray:
    spacing = max(8.5, rng.uniform(9, 34) * unit)
    label = _blank(spacing)
    radius = rng.uniform(0.24, 0.35) * spacing
    for i, (x, y) in enumerate(_places(rng, label, spacing, 0.0)):
        for wx, wy in _wraps(label, x, y, radius + 1):
            cv2.circle(label, (_fixed(wx), _fixed(wy)), _fixed(radius), 1 + i % (colours - 1), -1, cv2.LINE_8, SHIFT)
    return label


def _ellipse(label: np.ndarray, x: float, y: float, a: float, b: float, degrees: float, value: int) -> None:
    axes = (max(8, _fixed(a)), max(8, _fixed(b)))
    cv2.ellipse(label, (_fixed(x), _fixed(y)), axes, degrees, 0, 360, value, -1, cv2.LINE_8, SHIFT)


def _flower(label: np.ndarray, x: float, y: float, r: float, petals: int, turn: float, petal: int, heart: int) -> None:
    for k in range(petals):
        angle = turn + k * 2 * np.pi / petals
        px, py = x + 0.58 * r * np.cos(angle), y + 0.58 * r * np.sin(angle)
        _ellipse(label, px, py, 0.46 * r, 0.27 * r + 1.1 * r / petals**1.2 * 0.5, np.degrees(angle), petal)
    _ellipse(label, x, y, 0.24 * r, 0.24 * r, 0, heart)


def floral(rng: np.random.Generator, colours: int, unit: float) -> np.ndarray:
    """Flowers with petals and a heart, leaves on stems between them."""
    spacing = max(17.0, rng.uniform(20, 58) * unit)
    label = _blank(spacing)
    petals, leaf = int(rng.integers(5, 8)), 2 if colours > 2 else 1
    for x, y in _places(rng, label, spacing, 0.16):
        r, turn = spacing * rng.uniform(0.30, 0.47), rng.uniform(0, 2 * np.pi)
        stem = rng.uniform(0, 2 * np.pi)
        for wx, wy in _wraps(label, x, y, 1.5 * r):
            for side in (-0.5, 0.5):
                lx, ly = wx + 1.2 * r * np.cos(stem + side), wy + 1.2 * r * np.sin(stem + side)
                _ellipse(label, lx, ly, 0.42 * r, 0.17 * r, np.degrees(stem + side), leaf)
            _flower(label, wx, wy, r, petals, turn, 1, leaf if colours > 2 else 0)
    return label


def _leopard(rng: np.random.Generator, colours: int, unit: float) -> np.ndarray:
    spacing = max(10.0, rng.uniform(12, 26) * unit)
    label = _blank(spacing)
    for x, y in _places(rng, label, spacing, 0.2):
        r, turn = spacing * rng.uniform(0.26, 0.40), rng.uniform(0, 360)
        squash, stroke = rng.uniform(0.65, 0.95), max(2, round(0.34 * r))
        first, second = rng.uniform(70, 130), rng.uniform(60, 110)
        for wx, wy in _wraps(label, x, y, 1.6 * r):
            if colours > 2:
                _ellipse(label, wx, wy, 0.75 * r, 0.75 * r * squash, turn, 2)
            for start, sweep in ((0, first), (165, second), (285, 45)):
                axes = (_fixed(r), _fixed(r * squash))
                cv2.ellipse(
                    label, (_fixed(wx), _fixed(wy)), axes, turn, start, start + sweep, 1, stroke, cv2.LINE_8, SHIFT
                )
    return label


def _zebra(rng: np.random.Generator, unit: float) -> np.ndarray:
    y = np.mgrid[:T, :T][0].astype(np.float32)
    cycles = max(4, round(T / (max(9.0, rng.uniform(11, 20) * unit))))
    bend = np.roll(noise_tile(T, 70, 1.0, 11), tuple(rng.integers(T, size=2)), (0, 1))
    wave = np.sin(2 * np.pi * cycles * (y + 9.0 * bend * max(unit, 0.6)) / T)
    return (wave + 0.5 * np.roll(noise_tile(T, 28, 1.0, 12), int(rng.integers(T)), 1) > 0.1).astype(np.uint8)


def animal(rng: np.random.Generator, colours: int, unit: float) -> np.ndarray:
    return _zebra(rng, unit) if colours == 2 and rng.random() < 0.55 else _leopard(rng, colours, unit)


def camouflage(rng: np.random.Generator, colours: int, unit: float) -> np.ndarray:
    """Patches from two thresholded noises, the later over the earlier."""
    label = np.zeros((T, T), np.uint8)
    size = 26 if unit < 0.7 else 40 if unit < 1.3 else 56
    for index in range(1, max(colours, 2)):
        field = noise_tile(T, size, 0.6, 20 + index) + 0.3 * noise_tile(T, size / 3, 0.6, 30 + index)
        field = np.roll(field, tuple(rng.integers(T, size=2)), (0, 1))
        label[field > (0.35 if index == 1 else 0.75)] = index
    return label


def icon(rng: np.random.Generator, kind: str, x: float, y: float, r: float, turn: float) -> np.ndarray:
    """A small closed outline, int32 (k, 1, 2) in 1/16 px: star, heart, drop, triangle, cross, moon, diamond, bolt."""
    t = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    if kind == "star":
        t = np.arange(10) * np.pi / 5
        radius = np.where(np.arange(10) % 2 == 0, 1.0, 0.42)
        points = np.stack([np.sin(t), -np.cos(t)], 1) * radius[:, None]
    elif kind == "heart":
        points = np.stack(
            [np.sin(t) ** 3, -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16], 1
        )
    elif kind == "drop":
        points = np.stack([np.sin(t) * np.sin(t / 2) ** 1.5 * 0.8, -np.cos(t)], 1)
    elif kind == "moon":
        inner = np.stack([0.45 + 0.75 * np.cos(t[4:25][::-1]), 0.75 * np.sin(t[4:25][::-1])], 1)
        points = np.concatenate([np.stack([np.cos(t[4:25]), np.sin(t[4:25])], 1), inner])
    elif kind == "cross":
        points = np.array(
            [
                (-0.3, -1),
                (0.3, -1),
                (0.3, -0.3),
                (1, -0.3),
                (1, 0.3),
                (0.3, 0.3),
                (0.3, 1),
                (-0.3, 1),
                (-0.3, 0.3),
                (-1, 0.3),
                (-1, -0.3),
                (-0.3, -0.3),
            ]
        )
    elif kind == "bolt":
        points = np.array([(0.2, -1), (-0.6, 0.15), (-0.05, 0.15), (-0.25, 1), (0.6, -0.2), (0.05, -0.2)])
    elif kind == "triangle":
        points = np.array([(0, -1), (0.9, 0.7), (-0.9, 0.7)])
    else:
        points = np.array([(0, -1), (0.65, 0), (0, 1), (-0.65, 0)])
    cosine, sine = np.cos(turn) * r, np.sin(turn) * r
    points = points @ np.array([[cosine, sine], [-sine, cosine]]) + (x, y)
    return np.round(points * 16).astype(np.int32)[:, None]


ICONS = ("star", "heart", "drop", "triangle", "cross", "moon", "diamond", "bolt")


def _zigzag(rng: np.random.Generator, colours: int, unit: float) -> np.ndarray:
    y, x = np.mgrid[:T, :T]
    wave = T // max(4, round(T / (rng.uniform(16, 30) * unit)))
    wave = max(8, wave)
    count = max(1, T // wave)
    period = T / count
    saw = np.abs((x % period) - period / 2)
    row = _sequence(rng, colours, unit, 3.6)
    return row[(y + saw).astype(int) % T]


def _tiles(rng: np.random.Generator, colours: int, unit: float) -> np.ndarray:
    """An ornament with four-fold symmetry, repeated: damask and mosaic prints."""
    size = max(16, round(rng.uniform(26, 44) * unit))
    size = T // max(1, T // size)
    half = size / 2
    y, x = np.mgrid[:size, :size] - half + 0.5
    radius, angle = np.hypot(x, y) / half, np.arctan2(y, x)
    lobes = int(rng.choice([4, 8]))
    edge = 0.62 + 0.26 * np.cos(lobes * angle)
    cell = (radius < edge).astype(np.uint8)
    cell[radius < 0.62 * edge] = 0
    cell[radius < 0.34 * edge] = colours - 1
    corner = np.hypot(np.abs(x) - half, np.abs(y) - half) / half
    cell[(corner < 0.36) & (corner > 0.18)] = colours - 1
    repeats = -(-T // size)
    return np.tile(cell, (repeats, repeats))[:T, :T]


def allover(rng: np.random.Generator, colours: int, unit: float) -> np.ndarray:
    """A repeating print that is neither flowers nor dots: icons, zigzags, ornaments."""
    kind = rng.random()
    if kind < 0.2:
        return _zigzag(rng, colours, unit)
    if kind < 0.42:
        return _tiles(rng, colours, unit)
    spacing = max(15.0, rng.uniform(18, 40) * unit)
    label = _blank(spacing)
    names = rng.choice(ICONS, size=2 if rng.random() < 0.4 else 1, replace=False)
    turned = rng.random() < 0.6
    for i, (x, y) in enumerate(_places(rng, label, spacing, 0.1)):
        turn, r = rng.uniform(0, 2 * np.pi) if turned else 0.0, spacing * rng.uniform(0.32, 0.4)
        for wx, wy in _wraps(label, x, y, r + 1):
            cv2.fillPoly(
                label, [icon(rng, names[i % len(names)], wx, wy, r, turn)], 1 + i % (colours - 1), cv2.LINE_8, SHIFT
            )
    return label


TILES: dict[str, Callable[[np.random.Generator, int, float], np.ndarray]] = {
    "striped": striped,
    "checked": checked,
    "dotted": dotted,
    "floral": floral,
    "animal": animal,
    "camouflage": camouflage,
    "allover": allover,
}


def pattern_tile(rng: np.random.Generator, pattern: str, colours: int, unit: float) -> np.ndarray:
    """Colour index of every pixel of a wrapping tile, uint8 (TILE_PX, TILE_PX) in 0..colours-1.

    ``unit`` scales the motifs: 1 suits a product of about 250 px. Solid, graphic and colorblock are index 0 throughout
    (prints and blocks belong to the product, not to the cloth).
    """
    if pattern not in TILES:
        return np.zeros((T, T), np.uint8)
    label = TILES[pattern](rng, colours, unit)
    repeats = T // len(label)
    return np.ascontiguousarray(np.tile(label, (repeats, repeats)), dtype=np.uint8)

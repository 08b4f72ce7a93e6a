"""Placed prints (the pattern `graphic`): lettering, emblems, pictures, as maps of colour indices."""

import cv2
import numpy as np

from .patterns import ICONS, SHIFT, icon

PRINT_PX = 160
NONE = 255
WORDS = ("SUMMER", "WILD", "OCEAN", "HELLO", "TEAM", "STUDIO", "LOVE", "CITY", "BEACH", "HAPPY", "1987", "MOON", "ROCK")
FONTS = (cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_SIMPLEX)


def _word(rng: np.random.Generator, label: np.ndarray, top: int, height: int, value: int) -> None:
    """One word across the print, filling ``height`` px from ``top``."""
    word, font = WORDS[int(rng.integers(len(WORDS)))], FONTS[int(rng.integers(len(FONTS)))]
    thickness = 7
    (width, tall), _ = cv2.getTextSize(word, font, 2.2, thickness)
    canvas = np.zeros((tall + 20, width + 20), np.uint8)
    cv2.putText(canvas, word, (10, tall + 10), font, 2.2, 255, thickness)
    canvas = cv2.resize(canvas, (PRINT_PX - 8, height), interpolation=cv2.INTER_AREA)
    label[top : top + height, 4:-4][canvas > 110] = value


def _fill(label: np.ndarray, points: np.ndarray, value: int) -> None:
    cv2.fillPoly(
        label, [np.round(np.asarray(points) * 16).astype(np.int32).reshape(-1, 1, 2)], value, cv2.LINE_8, SHIFT
    )


def _disc(label: np.ndarray, x: float, y: float, r: float, value: int) -> None:
    cv2.circle(label, (round(x * 16), round(y * 16)), round(r * 16), value, -1, cv2.LINE_8, SHIFT)


def _landscape(rng: np.random.Generator, label: np.ndarray, a: int, b: int) -> None:
    """A sun behind mountains in a round or square frame."""
    p = PRINT_PX
    round_frame = rng.random() < 0.5
    if round_frame:
        _disc(label, p / 2, p / 2, p * 0.46, a)
    else:
        label[10:-10, 6:-6] = a
    frame = label == a
    _disc(label, p * rng.uniform(0.3, 0.7), p * 0.38, p * 0.15, b)
    peaks = [
        (0, p),
        (0, p * 0.75),
        (p * 0.3, p * 0.48),
        (p * 0.45, p * 0.66),
        (p * 0.68, p * 0.40),
        (p, p * 0.8),
        (p, p),
    ]
    _fill(label, peaks, b)
    for line in (0.84, 0.92):
        label[round(p * line) : round(p * line) + 5] = a
    label[~frame] = NONE


def _face(rng: np.random.Generator, label: np.ndarray, a: int, b: int) -> None:
    """An animal's head: ears, eyes, muzzle, whiskers."""
    p = PRINT_PX
    for side in (-1, 1):
        if rng.random() < 0.5:
            _disc(label, p / 2 + side * p * 0.3, p * 0.24, p * 0.15, a)
        else:
            ear = [
                (p / 2 + side * p * 0.12, p * 0.3),
                (p / 2 + side * p * 0.40, p * 0.04),
                (p / 2 + side * p * 0.43, p * 0.5),
            ]
            _fill(label, ear, a)
    _disc(label, p / 2, p * 0.56, p * 0.38, a)
    for side in (-1, 1):
        _disc(label, p / 2 + side * p * 0.15, p * 0.48, p * 0.065, b)
        for k in (-0.1, 0.0, 0.1):
            start, end = (p / 2 + side * p * 0.12, p * 0.70), (p / 2 + side * p * 0.34, p * (0.70 + k))
            cv2.line(label, tuple(map(round, start)), tuple(map(round, end)), b, 3)
    _fill(label, [(p * 0.42, p * 0.62), (p * 0.58, p * 0.62), (p * 0.5, p * 0.72)], b)
    cv2.ellipse(label, (p // 2, round(p * 0.74)), (round(p * 0.1), round(p * 0.07)), 0, 0, 180, b, 4)


def _emblem(rng: np.random.Generator, label: np.ndarray, a: int, b: int) -> None:
    """A big icon, on a disc, a shield or by itself."""
    p = PRINT_PX
    kind = rng.random()
    if kind < 0.4:
        _disc(label, p / 2, p / 2, p * 0.47, a)
        _disc(label, p / 2, p / 2, p * 0.42, b)
        _disc(label, p / 2, p / 2, p * 0.385, a)
    elif kind < 0.65:
        _fill(
            label,
            [(p * 0.1, p * 0.05), (p * 0.9, p * 0.05), (p * 0.88, p * 0.6), (p * 0.5, p * 0.98), (p * 0.12, p * 0.6)],
            a,
        )
    name = ICONS[int(rng.integers(len(ICONS)))]
    r, value = (p * 0.3, b) if kind < 0.65 else (p * 0.47, a)
    cv2.fillPoly(label, [icon(rng, name, p / 2, p * 0.5, r, 0.0)], value, cv2.LINE_8, SHIFT)
    if kind >= 0.65:
        cv2.fillPoly(label, [icon(rng, name, p / 2, p * 0.5, r * 0.55, 0.0)], b, cv2.LINE_8, SHIFT)


def print_tile(rng: np.random.Generator, colours: int) -> np.ndarray:
    """A print, uint8 (PRINT_PX, PRINT_PX): colour index 1..colours-1, or 255 where the cloth shows."""
    label = np.full((PRINT_PX, PRINT_PX), NONE, np.uint8)
    a, b = 1, colours - 1 if colours > 2 else 0
    kind = rng.random()
    if kind < 0.25:
        heights = (46, 46, 40) if rng.random() < 0.5 else (70, 66)
        top = 6
        for i, height in enumerate(heights):
            _word(rng, label, top, height, 1 + i % (colours - 1))
            top += height + 6
        return label
    picture = np.full_like(label, NONE)
    (_landscape if kind < 0.5 else _face if kind < 0.75 else _emblem)(rng, picture, a, b)
    if rng.random() < 0.5:
        # Picture above, a word below.
        small = cv2.resize(picture, (112, 112), interpolation=cv2.INTER_NEAREST)
        label[2:114, 24:136] = small
        _word(rng, label, 120, 36, a)
        return label
    return picture

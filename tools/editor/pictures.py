"""Photos as a browser shows them: upright, in a format it reads, and small for the queue."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Generic, TypeVar

import cv2
import numpy as np
from PIL import Image as PilImage

from ...datasets.images import load_rgb

T = TypeVar("T")
_QUALITY = 95
_THUMB_QUALITY = 80
_ENDS = {"image/jpeg": b"\xff\xd9", "image/png": b"IEND"}


class Cache(Generic[T]):
    """The last `limit` results, by key. Threads may share it; two that miss at once both work."""

    def __init__(self, limit: int):
        self._limit, self._found, self._lock = limit, OrderedDict[Hashable, T](), threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        made = make()
        with self._lock:
            self._found[key] = made
            while len(self._found) > self._limit:
                self._found.popitem(last=False)
        return made


def version(path: Path) -> tuple[str, int, int]:
    """What tells one state of a photo's file from another."""
    stat = path.stat()
    return str(path), stat.st_mtime_ns, stat.st_size


class Pictures:
    """The photos of one image folder. Raises ImageError for what cannot be read."""

    def __init__(self):
        self._pixels: Cache[np.ndarray] = Cache(2)
        self._bytes: Cache[tuple[bytes, str]] = Cache(4)
        self._thumbs: Cache[tuple[bytes, str]] = Cache(2000)

    def rgb(self, path: Path) -> np.ndarray:
        """uint8 (h, w, 3), upright. Kept for the next click: do not write to it."""
        return self._pixels.get(version(path), lambda: load_rgb(path))

    def whole(self, path: Path) -> tuple[bytes, str]:
        """(bytes, media type) at full size: the file itself where every browser shows it as `load_rgb` reads it."""
        if media := _plain(path):
            data = path.read_bytes()
            if _ENDS[media] in data[-64:]:  # not cut off
                return data, media
        return self._bytes.get(version(path), lambda: _jpeg(load_rgb(path), _QUALITY))

    def thumb(self, path: Path, side_px: int) -> tuple[bytes, str]:
        """(bytes, media type), the longer side at most `side_px`."""

        def make() -> tuple[bytes, str]:
            rgb = load_rgb(path)
            scale = side_px / max(rgb.shape[:2])
            if scale < 1:
                size = [max(1, round(side * scale)) for side in rgb.shape[1::-1]]
                rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
            return _jpeg(rgb, _THUMB_QUALITY)

        return self._thumbs.get((*version(path), side_px), make)


def _plain(path: Path) -> str | None:
    """The media type of an upright JPEG of colour or grey, or of a PNG without alpha or palette; None for the rest."""
    try:
        with PilImage.open(path, formats=("JPEG", "PNG")) as picture:
            if (
                picture.getexif().get(0x0112, 1) != 1
                or picture.mode not in ("RGB", "L")
                or picture.info.get("transparency")
            ):
                return None
            return "image/jpeg" if picture.format == "JPEG" else "image/png"
    except Exception:  # whatever is odd about it, load_rgb decides
        return None


def _jpeg(rgb: np.ndarray, quality: int) -> tuple[bytes, str]:
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return encoded.tobytes(), "image/jpeg"

"""Pictures of the report: thumbnails and outlines, made in threads."""

from __future__ import annotations

import base64
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import cv2
import numpy as np
from PIL import Image as PilImage
from PIL import ImageOps, UnidentifiedImageError

from ..datasets import masks
from ..datasets.errors import InputError
from ..datasets.images import load_rgb
from .decode_ahead import available_cores

if TYPE_CHECKING:
    from .extraction import Photo
    from .extraction_log import Record

THUMB_PX = 320  # longer side; a photo of several products is shown on a wider card
WIDE_PX = 480
JPEG_QUALITY = 75


@dataclass(frozen=True)
class Picture:
    """width, height: px of the thumbnail. uri: JPEG data URI, "" where the photo is gone. paths: SVG path data, one a
    product, in thumbnail px. href: link from the report to the photo."""

    width: int
    height: int
    uri: str
    paths: tuple[str, ...]
    href: str


def pictures(pairs: Iterator[tuple[Photo, Record]], folder: Path) -> Iterator[tuple[Photo, Record, Picture]]:
    """Each photo with its picture, in order, a few made ahead. folder: where the report will lie."""
    threads = min(8, available_cores())
    with ThreadPoolExecutor(threads, thread_name_prefix="thumbnail") as pool:
        pending: deque = deque()
        pairs = iter(pairs)
        while True:
            for photo, record in islice(pairs, max(0, 2 * threads - len(pending))):
                pending.append((photo, record, pool.submit(_picture, photo, record, folder)))
            if not pending:
                return
            photo, record, future = pending.popleft()
            yield photo, record, future.result()


def _picture(photo: Photo, record: Record, folder: Path) -> Picture:
    scale = (WIDE_PX if len(record.items) > 1 else THUMB_PX) / max(record.width, record.height)
    width, height = max(1, round(record.width * scale)), max(1, round(record.height * scale))
    paths = tuple(outline(item["segmentation"], width, height) for item in record.items)
    href = quote(Path(os.path.relpath(photo.path, folder)).as_posix(), safe="/", errors="surrogateescape")
    return Picture(width, height, thumbnail(photo.path, width, height), paths, href)


def thumbnail(path: Path, width: int, height: int) -> str:
    """A photo as JPEG data URI of this size, px; "" where it is gone or broken."""
    try:
        rgb = _shrunk_jpeg(path, 2 * max(width, height))
        rgb = load_rgb(path) if rgb is None else rgb
    except (InputError, OSError):
        return ""  # gone or changed since it was read: the report is still worth having
    shrinks = rgb.shape[1] > width
    rgb = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    flags = (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1)
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), flags)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def _shrunk_jpeg(path: Path, least_px: int) -> np.ndarray | None:
    """A large plain JPEG decoded at a half, quarter or eighth of its size, a fraction of the time; else None."""
    try:
        picture = PilImage.open(path, formats=("JPEG",))
    except UnidentifiedImageError:
        return None
    with picture:
        if picture.mode != "RGB" or min(picture.size) < 2 * least_px:
            return None
        picture.draft("RGB", (least_px, least_px))
        return np.array(ImageOps.exif_transpose(picture))


def outline(rle: dict, width: int, height: int) -> str:
    """SVG path data of a mask at thumbnail size; smoothed at twice that, so that it stays crisp on a dense screen."""
    mask = cv2.resize(masks.decode(rle) * 255, (2 * width, 2 * height), interpolation=cv2.INTER_AREA)
    rings = [ring for part in masks.polygons(mask > 127, tolerance_px=0.7) for ring in part]
    return "".join("M" + "L".join(f"{x:g} {y:g}" for x, y in np.round(ring / 2, 1)) + "Z" for ring in rings)

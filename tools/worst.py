"""The products with the worst masks as one picture: what to look at first."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..attributes.joint import JointMetrics
from ..datasets import masks
from ..datasets.coco import resolve_image
from ..datasets.errors import InputError
from ..datasets.images import load_rgb
from ..seg.pairing import Pairing

_TILE_PX, _TEXT_PX, _GAP_PX, _COLUMNS = 240, 22, 8, 6
_TRUTH, _FOUND, _RIM = (61, 220, 132), (255, 79, 139), (20, 20, 24)
_GROUND, _INK = (255, 255, 255), (32, 36, 42)


def draw_worst(pairing: Pairing, metrics: JointMetrics, images_dir: Path, *, count: int = 24) -> Image.Image | None:
    """RGB contact sheet of the ``count`` true products with the lowest best IoU, worst first; None without any.

    The outline of the truth is green, that of the best detection pink. Raises InputError for a photo that is not there.
    """
    if not pairing.masked:
        return None
    products = np.flatnonzero(~pairing.truth.crowd)
    rows = products[np.argsort(metrics.best_iou[products], kind="stable")][:count]
    return _sheet([_tile(pairing, metrics, images_dir, int(row)) for row in rows]) if len(rows) else None


def _tile(pairing: Pairing, metrics: JointMetrics, images_dir: Path, row: int) -> Image.Image:
    image = pairing.images[pairing.truth.image[row]]
    rgb = load_rgb(resolve_image(images_dir, image.file_name))
    if rgb.shape[:2] != (image.height, image.width):
        raise InputError(
            f"{image.file_name} is {rgb.shape[1]} x {rgb.shape[0]} px in {images_dir}, {image.width} x {image.height} in "
            "the truth; give the folder of the photos that were annotated with --images."
        )
    scale = _TILE_PX / max(rgb.shape[:2])
    size = tuple(max(1, round(side * scale)) for side in (rgb.shape[1], rgb.shape[0]))
    canvas = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    j = int(metrics.best_detection[row])
    outlines = [(pairing.truth.rle[row], _TRUTH)] + ([(pairing.detections.rle[j], _FOUND)] if j >= 0 else [])
    for rle, colour in outlines:
        small = cv2.resize(masks.decode(rle), size, interpolation=cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(small, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, contours, -1, _RIM, 4, cv2.LINE_AA)
        cv2.drawContours(canvas, contours, -1, colour, 2, cv2.LINE_AA)
    tile = Image.new("RGB", (_TILE_PX, _TILE_PX + _TEXT_PX), _GROUND)
    tile.paste(Image.fromarray(canvas), ((_TILE_PX - size[0]) // 2, (_TILE_PX - size[1]) // 2))
    iou = f"IoU {metrics.best_iou[row]:.2f}" if j >= 0 else "missed"
    font = ImageFont.load_default(13)
    text = _fitted(f"{iou}  {Path(image.file_name).name}", font)
    ImageDraw.Draw(tile).text((4, _TILE_PX + 3), text, _INK, font)
    return tile


def _fitted(text: str, font: ImageFont.FreeTypeFont) -> str:
    if font.getlength(text) <= _TILE_PX - 8:
        return text
    while font.getlength(text + "...") > _TILE_PX - 8:
        text = text[:-1]
    return text + "..."


def _sheet(tiles: Sequence[Image.Image]) -> Image.Image:
    columns = min(_COLUMNS, len(tiles))
    step_x, step_y = _TILE_PX + _GAP_PX, _TILE_PX + _TEXT_PX + _GAP_PX
    sheet = Image.new("RGB", (columns * step_x + _GAP_PX, -(-len(tiles) // columns) * step_y + _GAP_PX), _GROUND)
    for i, tile in enumerate(tiles):
        sheet.paste(tile, (_GAP_PX + i % columns * step_x, _GAP_PX + i // columns * step_y))
    return sheet

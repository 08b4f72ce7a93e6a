"""Products cut out of their photos, kept in memory, and scenes that they are laid into."""

from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from . import masks
from .coco import Annotation, CocoFile, annotation_rle
from .errors import InputError
from .images import quick_resize
from .photos import load_photo

_RIM_PX = 2  # outlines are that soft: the colours this near to one are partly the old ground's
_LEAST_SIDE_PX = 8  # a smaller product is no picture of one


def can_be_cut(annotation: Annotation) -> bool:
    """Whether it is a product with a mask, and large enough to be a picture of one."""
    small = min(annotation.bbox[2:]) < _LEAST_SIDE_PX
    return not (small or annotation.iscrowd or annotation.segmentation is None)


class Cutouts:
    """The products of a COCO file as pictures uint8 (h, w, 4): RGB, and the mask as 0 or 255.

    ``cutouts[i]`` belongs to ``cutouts.annotations[i]``. Left out: crowds, boxes without a mask, specks, and products
    that the photo's edge cuts off (their straight edge would lie in the middle of a scene), unless all are. Longer
    sides than ``max_side_px`` are shrunk to it. Decoded pictures are kept up to ``cache_mib``, the least recently used
    one goes first; a DataLoader's worker has a cache of its own. Colours at the rim are those of the product's inside, so
    that no seam of the old ground comes along.
    Raises InputError where nothing can be cut out.
    """

    def __init__(self, coco: CocoFile, images_dir: str | Path, max_side_px: int, cache_mib: float):
        self.coco, self.images_dir = coco, Path(images_dir)
        self.max_side_px, self.cache_bytes = max_side_px, int(cache_mib * 2**20)
        whole = [a for a in coco.annotations if can_be_cut(a)]
        self.annotations = [a for a in whole if not self._cut_off(a)] or whole
        if not self.annotations:
            raise InputError(
                "no product can be cut out: the file has no annotation with a mask of "
                f"{_LEAST_SIDE_PX} px or more that is no crowd"
            )
        self._cache: OrderedDict[int, np.ndarray] = OrderedDict()
        self._cached_bytes = 0

    def __len__(self) -> int:
        return len(self.annotations)

    def __getitem__(self, index: int) -> np.ndarray:
        picture = self._cache.get(index)
        if picture is None:
            picture = self._cut(self.annotations[index])
            self._cache[index] = picture
            self._cached_bytes += picture.nbytes
            while self._cached_bytes > self.cache_bytes and self._cache:
                self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        else:
            self._cache.move_to_end(index)
        return picture

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_cache": OrderedDict(), "_cached_bytes": 0}

    def _cut_off(self, annotation: Annotation) -> bool:
        image = self.coco.image_by_id[annotation.image_id]
        x, y, w, h = annotation.bbox
        return x <= 0 or y <= 0 or x + w >= image.width or y + h >= image.height

    def _cut(self, annotation: Annotation) -> np.ndarray:
        image = self.coco.image_by_id[annotation.image_id]
        mask = masks.decode(annotation_rle(annotation, image))
        rgb = load_photo(image, self.images_dir)
        x, y, w, h = cv2.boundingRect(mask)  # the box of the file may be another one
        if min(w, h) == 0:
            return np.zeros((1, 1, 4), np.uint8)  # degenerate, whatever its box says: transparent, so never laid
        window = (slice(y, y + h), slice(x, x + w))
        picture = cv2.merge([rgb[window], mask[window] * np.uint8(255)])
        if max(w, h) > self.max_side_px:
            factor = self.max_side_px / max(w, h)
            picture = quick_resize(picture, max(1, round(w * factor)), max(1, round(h * factor)))
            picture[..., 3] = (picture[..., 3] >= 128) * np.uint8(255)
        return _inside_colours(picture)


def _inside_colours(picture: np.ndarray) -> np.ndarray:
    """The picture (h, w, 4) whose colours at the mask's rim and outside are the mean of the product's near by."""
    inside = cv2.erode(picture[..., 3], np.ones((2 * _RIM_PX + 1,) * 2, np.uint8), borderValue=0)
    reach = (4 * _RIM_PX + 1,) * 2
    weight = cv2.boxFilter(inside, cv2.CV_32F, reach, normalize=False)
    rgb = cv2.cvtColor(picture, cv2.COLOR_RGBA2RGB)
    known = cv2.bitwise_and(rgb, rgb, mask=inside)
    total = cv2.boxFilter(known, cv2.CV_32F, reach, normalize=False)
    mend = (inside == 0) & (weight > 0)
    picture[..., :3][mend] = total[mend] * (255 / weight[mend])[:, None] + 0.5
    return picture


@dataclass(frozen=True)
class Piece:
    """A cut-out as it will lie: ``rgb`` uint8 (h, w, 3), ``alpha`` float32 (h, w) 0..1, ``mask`` uint8 (h, w) 0 or 1
    (alpha of a half or more), ``area`` its pixels."""

    rgb: np.ndarray
    alpha: np.ndarray
    mask: np.ndarray
    area: int


def turned(picture: np.ndarray, factor: float, angle_deg: float, flip: bool, feather_px: float, gain: float) -> Piece:
    """``picture`` uint8 (h, w, 4) mirrored, scaled by ``factor``, turned counter-clockwise about its centre.

    ``feather_px``: deviation of the blur of its outline. ``gain`` (<= 1) multiplies all channels alike: brightness
    changes, hue does not.
    """
    if flip:
        picture = cv2.flip(picture, 1)
    while factor < 0.5 and min(picture.shape[:2]) > 1:  # one affine step to less than half would skip pixels
        h, w = picture.shape[0] // 2, picture.shape[1] // 2
        picture, factor = quick_resize(picture, w, h), 2 * factor
    spare = 2 + int(np.ceil(3 * feather_px))
    picture = cv2.copyMakeBorder(picture, 2, 2, 2, 2, cv2.BORDER_REPLICATE)
    picture[..., 3][:2] = picture[..., 3][-2:] = picture[..., 3][:, :2] = picture[..., 3][:, -2:] = 0
    if factor != 1 or angle_deg:
        picture = _affine(picture, factor, angle_deg, spare)
    elif spare > 2:
        picture = cv2.copyMakeBorder(picture, *(spare - 2,) * 4, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0))
    alpha = cv2.extractChannel(picture, 3)
    if feather_px > 0:
        alpha = cv2.GaussianBlur(alpha, (0, 0), feather_px, borderType=cv2.BORDER_CONSTANT)
    rgb = cv2.cvtColor(picture, cv2.COLOR_RGBA2RGB)
    rgb = rgb if gain == 1 else cv2.convertScaleAbs(rgb, alpha=gain)
    mask = cv2.threshold(alpha, 127, 1, cv2.THRESH_BINARY)[1]
    return Piece(rgb, alpha.astype(np.float32) * np.float32(1 / 255), mask, cv2.countNonZero(mask))


def _affine(picture: np.ndarray, factor: float, angle_deg: float, spare: int) -> np.ndarray:
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle_deg, factor)
    across, along = np.abs(matrix[0, :2]), np.abs(matrix[1, :2])
    new_width = int(np.ceil(across @ (width, height))) + 2 * spare
    new_height = int(np.ceil(along @ (width, height))) + 2 * spare
    matrix[:, 2] += ((new_width - width) / 2, (new_height - height) / 2)
    return cv2.warpAffine(picture, matrix, (new_width, new_height), flags=cv2.INTER_LINEAR, borderValue=(0, 0, 0, 0))


@dataclass(frozen=True)
class Shadow:
    """A soft shadow: ``shift_px`` (x, y), ``blur_px`` (how far it fades), ``depth`` 0..1."""

    shift_px: tuple[int, int]
    blur_px: int
    depth: float


@dataclass
class Layers:
    """A scene while products are laid into it, the last one on top.

    ``image`` uint8 (h, w, 3), changed in place; ``masks`` uint8 (h, w), the visible parts; ``tags``: what each mask is;
    ``wholes``: the area of each, in px, before anything lay on it.
    """

    image: np.ndarray
    masks: list[np.ndarray] = field(default_factory=list)
    tags: list[Annotation] = field(default_factory=list)
    wholes: list[int] = field(default_factory=list)

    def bears(self, piece: Piece, x: int, y: int, min_visible: float) -> bool:
        """Whether, with ``piece`` at (x, y), it and every instance (crowds aside) shows ``min_visible`` of its area or
        more."""
        inner, outer = self._windows(piece.mask.shape, x, y)
        mask = piece.mask[inner]
        shown = np.count_nonzero(mask)
        if shown == 0 or shown < min_visible * piece.area:
            return False
        for visible, tag, whole in zip(self.masks, self.tags, self.wholes, strict=True):
            if tag.iscrowd:
                continue
            hidden = cv2.countNonZero(visible[outer] & mask)
            if hidden and cv2.countNonZero(visible) - hidden < min_visible * whole:
                return False
        return True

    def lay(self, piece: Piece, x: int, y: int, tag: Annotation, shadow: Shadow | None = None) -> None:
        """Lay ``piece`` with its top left at (x, y), which may be outside; take what it hides from the other masks."""
        if shadow is not None:
            self._darken(piece, x, y, shadow)
        inner, outer = self._windows(piece.mask.shape, x, y)
        region, alpha = self.image[outer], np.ascontiguousarray(piece.alpha[inner])
        if region.size:
            over, below = np.ascontiguousarray(piece.rgb[inner]), np.ascontiguousarray(region)
            region[:] = cv2.blendLinear(over, below, alpha, 1 - alpha)
        seen = 1 - piece.mask[inner]
        for i, visible in enumerate(self.masks):
            if (visible[outer] > seen).any():
                self.masks[i] = visible.copy()
                self.masks[i][outer] &= seen
        mask = np.zeros(self.image.shape[:2], np.uint8)
        mask[outer] = piece.mask[inner]
        self.masks.append(mask)
        self.tags.append(tag)
        self.wholes.append(piece.area)

    def _darken(self, piece: Piece, x: int, y: int, shadow: Shadow) -> None:
        reach, kernel = 2 * shadow.blur_px, (2 * shadow.blur_px + 1,) * 2
        field_ = cv2.copyMakeBorder(piece.alpha, *(reach,) * 4, cv2.BORDER_CONSTANT, value=0)
        field_ = cv2.blur(cv2.blur(field_, kernel), kernel)  # two boxes are nearly a Gaussian
        inner, outer = self._windows(field_.shape, x - reach + shadow.shift_px[0], y - reach + shadow.shift_px[1])
        region = self.image[outer]
        if region.size:
            dark = 1 - np.float32(shadow.depth) * field_[inner]
            region[:] = cv2.multiply(region, cv2.merge([dark] * 3), dtype=cv2.CV_8U)

    def _windows(self, size: tuple[int, int], x: int, y: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """(rows, columns) of the piece and of the image where a piece of ``size`` (h, w) at (x, y) meets the image."""
        height, width = self.image.shape[:2]
        x0, y0 = min(max(x, 0), width), min(max(y, 0), height)
        x1, y1 = max(min(x + size[1], width), x0), max(min(y + size[0], height), y0)
        return (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x)), (slice(y0, y1), slice(x0, x1))

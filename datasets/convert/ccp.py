"""Clothing Co-Parsing: ``pixel-level/NNNN.mat`` (a label a pixel) and ``label_list.mat`` (their names).

A label map knows no instances, so this is where pieces become products. What photos of this set show (one person a photo,
open coats, bags on straps, hems and cuffs that look out from under a coat) decides it:

- All pieces of a garment's label are one product: a coat is two halves as often as one, a shirt is a collar, two cuffs and
  a hem. Pieces far apart are no exception.
- A pair (shoes, boots, socks, gloves, earrings, ...) is one product too. Two feet touch in a third of the photos, and
  crossed straps cut a shoe in three: the pieces cannot say which foot is which, so counting shoes would label the same
  sight now one, now two. And the toolkit's catalog counts a pair as one product.
- ``accessories``, ``bracelet`` and ``ring`` are words for several things (a phone and a cup, one on each wrist): pieces
  apart are products apart; those within NEAR of the diagonal (a hand between them) are one.
- A bag and its straps are one; a second large piece far away is a second bag.

``null``, ``skin`` and ``hair`` are no products. Outlines follow superpixels: pieces smaller than one (CRUMB_PX) are left
out and pinholes of ``null`` between superpixels filled. All thresholds were set by eye on overlays.
"""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from .. import masks
from ..coco import Annotation, Category, CocoFile, Image
from ..errors import InputError
from ..images import ImageError, read_size
from .notes import Notes, Track, untracked

NOT_PRODUCTS = ("null", "skin", "hair")
SEVERAL = ("accessories", "bracelet", "ring")
BAGS = ("bag", "purse", "wallet")
CRUMB_PX = 60
"""A piece of fewer pixels is a crumb: the smallest things labelled (rings, watches) have 110."""
PINHOLE_PX = 100
NEAR = 0.02
"""Share of the photo's diagonal: pieces of SEVERAL that are no farther apart are one thing."""
FAR = 0.1
BAG_SHARE = 0.006
"""A second bag is a piece of at least this share of the photo, FAR (share of the diagonal) from the first."""

_BROKEN = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    NotImplementedError,
    EOFError,
    OSError,
    zlib.error,
    struct.error,
)


def read(
    folder: Path,
    notes: Notes,
    images_dir: Path | None = None,
    labels: Path | None = None,
    track: Track = untracked,
) -> CocoFile:
    """The label maps of ``folder/pixel-level`` (or of ``folder``) as a file of ours.

    ``images_dir``: the photos that ``file_name`` is relative to, ``folder/photos`` where left out; where a photo is there,
    its size must be that of its labels. ``labels``: label_list.mat. Category ids are the labels' numbers. Maps that cannot
    be read are left out, with a note. Raises InputError where there are none, or no names.
    """
    maps = folder / "pixel-level" if (folder / "pixel-level").is_dir() else folder
    images_dir = images_dir or photos_of(folder)
    names = _names(labels, [folder / "label_list.mat", folder.parent / "label_list.mat"])
    files = sorted(f for f in maps.glob("*.mat") if f.name != "label_list.mat") if maps.is_dir() else []
    if not files:
        raise InputError(
            f"{maps} holds no .mat; expected the folder of Clothing Co-Parsing with pixel-level/0001.mat, ..."
        )
    categories = [Category(i, name) for i, name in enumerate(names) if name not in NOT_PRODUCTS]
    coco = CocoFile(
        categories=categories,
        info={"description": "Clothing Co-Parsing, pixel-level labels as instances"},
        licenses=[{"id": 1, "name": "Apache-2.0"}],  # as its publishers say (W. Yang, P. Luo, L. Lin, CVPR 2014)
    )
    for file in track(files, "photos"):
        label_map = _label_map(file, len(names), images_dir, notes)
        if label_map is not None:
            h, w = label_map.shape
            image = Image(len(coco.images) + 1, f"{file.stem}.jpg", w, h)
            coco.images.append(image)
            for label, rle in instances(label_map, names, notes, file.name):
                box, area = list(masks.xywh(rle)), float(masks.area(rle))
                coco.annotations.append(Annotation(len(coco.annotations) + 1, image.id, label, rle, box, area))
    return coco


def photos_of(folder: Path) -> Path:
    """Where the photos are by convention."""
    return (folder if (folder / "pixel-level").is_dir() else folder.parent) / "photos"


def instances(
    label_map: np.ndarray, names: Sequence[str], notes: Notes | None = None, where: str = ""
) -> list[tuple[int, masks.Rle]]:
    """Products of a label map uint8 (h, w), as (label, RLE) in the order of the labels; they do not overlap. ``names[0]``
    is the ground."""
    notes = Notes() if notes is None else notes
    h, w = label_map.shape
    found = []
    for label in np.flatnonzero(np.bincount(label_map.ravel())).tolist():
        if names[label] in NOT_PRODUCTS:
            continue
        # A rim of one pixel, so that what touches the edge of the photo is seen from outside.
        x0, y0, bw, bh = cv2.boundingRect((label_map == label).astype(np.uint8))
        around = np.pad(label_map, 1)[y0 : y0 + bh + 2, x0 : x0 + bw + 2]
        mask = _filled((around == label).astype(np.uint8), around == 0, notes, where)
        _, pieces, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        areas = stats[:, 4]
        kept = [i for i in range(1, len(areas)) if areas[i] >= CRUMB_PX]
        if len(kept) < len(areas) - 1:
            notes.add(
                f"pieces of fewer than {CRUMB_PX} px left out", f"{where}: {names[label]}", len(areas) - 1 - len(kept)
            )
        for group in _groups(names[label], pieces, areas, kept, (h, w)):
            inside = np.zeros(len(areas), bool)
            inside[group] = True
            product = inside[pieces[1:-1, 1:-1]]
            found.append((label, masks.encode_crop(product, x0, y0, h, w)))
    return found


def _filled(mask: np.ndarray, ground: np.ndarray, notes: Notes, where: str) -> np.ndarray:
    """The mask uint8 (h, w) with its small holes of ground filled."""
    _, holes, stats, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)
    outside = holes[0, 0]
    for i in np.flatnonzero(stats[:, 4] < PINHOLE_PX):
        hole = holes == i
        if i != outside and not mask[hole].any() and ground[hole].all():
            mask = mask | hole
            notes.add(f"holes of fewer than {PINHOLE_PX} px filled", where)
    return mask


def _groups(
    name: str, pieces: np.ndarray, areas: np.ndarray, kept: list[int], size: tuple[int, int]
) -> list[list[int]]:
    """The pieces (numbers in ``pieces``) of each product."""
    if len(kept) < 2 or name not in SEVERAL + BAGS:
        return [kept] if kept else []
    diagonal = float(np.hypot(*size))
    gaps = _gaps(pieces, kept)
    kept = sorted(kept, key=lambda i: -areas[i])
    groups: list[list[int]] = [[kept[0]]]
    for i in kept[1:]:
        near = [min(gaps[i, j] for j in group) for group in groups]
        if name in BAGS:
            apart = near[0] > FAR * diagonal and areas[i] >= BAG_SHARE * size[0] * size[1]
        else:
            apart = min(near) > NEAR * diagonal
        if apart:
            groups.append([i])
        else:
            groups[int(np.argmin(near))].append(i)
    return groups


def _gaps(pieces: np.ndarray, kept: list[int]) -> dict[tuple[int, int], float]:
    """Pixels between each two pieces."""
    gaps = {}
    for i in kept:
        away = cv2.distanceTransform((pieces != i).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        gaps.update(((i, j), float(away[pieces == j].min())) for j in kept if j != i)
    return gaps


def _label_map(file: Path, labels: int, images_dir: Path, notes: Notes) -> np.ndarray | None:
    try:
        found = _matrix(file, "groundtruth")
    except InputError as error:
        notes.add("label maps left out (they cannot be read)", str(error))
        return None
    if found.ndim != 2 or found.dtype.kind not in "ui" or not found.size or found.min() < 0 or found.max() >= labels:
        notes.add(f"label maps left out (no map of labels from 0 to {labels - 1})", str(file))
        return None
    photo = images_dir / f"{file.stem}.jpg"
    if photo.is_file():
        try:
            size = read_size(photo)
        except (ImageError, OSError) as error:
            notes.add("label maps left out (their photo cannot be read)", str(error))
            return None
        if size != found.shape:
            notes.add("label maps left out (of another size than their photo)", str(file))
            return None
    return np.ascontiguousarray(found, np.uint8)


def _matrix(file: Path, name: str) -> Any:
    try:
        data = loadmat(file)
    except FileNotFoundError:
        raise InputError(f"{file} does not exist; expected a .mat of Clothing Co-Parsing.") from None
    except (*_BROKEN, MatReadError) as error:
        raise InputError(f"{file} is no MATLAB file that can be read ({error}); restore it.") from None
    if not isinstance(data.get(name), np.ndarray):
        found = ", ".join(key for key in data if not key.startswith("__")) or "nothing"
        raise InputError(f"{file} holds {found}; expected a variable {name}.")
    return data[name]


def _names(given: Path | None, usual: Sequence[Path]) -> list[str]:
    file = given or next((path for path in usual if path.is_file()), usual[0])
    if not file.is_file():
        raise InputError(f"{file} does not exist; expected the names of the labels: name label_list.mat with --labels.")
    cells = _matrix(file, "label_list").ravel()
    names = [str(np.ravel(cell)[0]) if np.size(cell) else "" for cell in cells]
    if len(names) < 2 or not all(names) or len(set(names)) < len(names):
        raise InputError(f"{file}: label_list is no list of different names; expected null, accessories, bag, ...")
    return names

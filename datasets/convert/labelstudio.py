"""Label Studio's COCO export.

Its dialect: all ids from 0, ``ignore: 0``, a box alone as ``segmentation: []``, no list of licences; sizes are null where
it could not open the photo; ``file_name`` is where the export put the photo (``images/1a2b3c4d-shirt.jpg``, with a prefix
from the upload), a path out of the folder (``../../media/upload/...``), a URL or a path with backslashes.

Its importer (``label-studio-converter import coco``) takes polygons alone: masks are written as their outlines, and the
mask itself, which may have holes, under ``segattr``, a key that other readers skip.
"""

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
import numpy as np

from .. import masks
from ..coco import Annotation, Category, CocoFile, Image
from ..errors import InputError
from ..paths import file_name_defect
from .mend import Shift, load, mend
from .notes import Notes, Track, untracked
from .side import OURS, taken

_UPLOAD = re.compile(r"^[0-9a-f]{8}-(?=.)")
_NAME = "labelstudio_file_name"


def read(path: Path, notes: Notes, images_dir: Path | None = None, track: Track = untracked) -> CocoFile:
    """A Label Studio export as a file of ours. ``images_dir``: where the photos are, to find each by its name with or
    without the prefix of the upload. Raises InputError for what cannot be read."""
    document = load(path)
    images = document.data.get("images")
    for i, row in enumerate(images if isinstance(images, list) else ()):
        if isinstance(row, dict) and isinstance(row.get("file_name"), str):
            _mend_name(row, f"images[{i}]", notes, images_dir)
    coco = mend(document, notes, images_dir=images_dir, shift=Shift(1, 1, 1), track=track)
    return from_labelstudio(coco, notes)


def _mend_name(row: dict[str, Any], where: str, notes: Notes, images_dir: Path | None) -> None:
    said = row["file_name"]
    name = found_name(said, images_dir)
    if name != said:
        notes.add("names of photos changed to where the photos are", f"{where}: {said}")
        row.setdefault(_NAME, said)
        row["file_name"] = name


def found_name(said: str, images_dir: Path | None) -> str:
    """The path of a photo below ``images_dir`` for a ``file_name`` of Label Studio's; where none of the candidates is
    there, the path said if it may be used, else its last part."""
    url = urlsplit(said) if "://" in said or said.startswith("/data/") else None
    plain = said if url is None else parse_qs(url.query).get("d", [unquote(url.path)])[0]
    plain = plain.replace("\\", "/")
    last = PurePosixPath(plain).name
    candidates = [plain, said, unquote(plain), last, unquote(last)]
    candidates += [_UPLOAD.sub("", name) for name in (last, unquote(last))]
    usable = [name for name in candidates if file_name_defect(name) is None and "://" not in name]
    for name in usable:
        if images_dir is not None and (images_dir / name).is_file():
            return name
    return usable[0] if usable else said


def from_labelstudio(coco: CocoFile, notes: Notes) -> CocoFile:
    """Masks as they were before ``to_labelstudio``, where their outlines were left alone since. ``coco`` is used up."""
    for annotation in coco.annotations:
        if annotation.extra.get("ignore") == 0:
            del annotation.extra["ignore"]
        side = taken(taken(annotation.extra), "segmentation")
        if side:
            image = coco.image_by_id[annotation.image_id]
            if _is_drawn_as(side, annotation.segmentation, image):
                annotation.segmentation = side
            else:
                where = f"annotation {annotation.id}"
                notes.add("masks whose outlines were changed in another tool (the outlines count)", where)
    return coco


def _is_drawn_as(rle: dict[str, Any], outlines: Any, image: Image) -> bool:
    if rle.get("size") != [image.height, image.width]:
        return False
    try:
        return _outlines(rle)[0] == (outlines or [])
    except InputError:
        return False


def to_labelstudio(coco: CocoFile, notes: Notes) -> CocoFile:
    """The file as Label Studio has it, ready for ``write_coco``; what was given is left alone."""
    return replace(
        coco,
        images=[_image(image) for image in coco.images],
        annotations=[_annotation(annotation, notes) for annotation in coco.annotations],
        categories=[Category(c.id - 1, c.name, c.extra) for c in coco.categories],
    )


def _image(image: Image) -> Image:
    extra = dict(image.extra)
    name = extra.pop(_NAME, None)
    return Image(image.id - 1, name if isinstance(name, str) else image.file_name, image.width, image.height, extra)


def _annotation(annotation: Annotation, notes: Notes) -> Annotation:
    changes: dict[str, Any] = {"extra": {"ignore": 0} | annotation.extra}
    if isinstance(annotation.segmentation, dict):
        outlines, holes = _outlines(annotation.segmentation)
        if holes:
            notes.add(
                "masks with holes, which outlines fill (whole under segattr)",
                f"annotation {annotation.id}",
            )
        changes["segmentation"] = outlines
        changes["extra"][OURS] = {"segmentation": _as_json(annotation.segmentation)}
    return msgspec.structs.replace(
        annotation,
        id=annotation.id - 1,
        image_id=annotation.image_id - 1,
        category_id=annotation.category_id - 1,
        **changes,
    )


def _outlines(rle: dict[str, Any]) -> tuple[list[list[float]], int]:
    """The outer rings of a mask as COCO polygons, and how many holes they fill."""
    parts = masks.polygons(masks.decode(rle))
    return [np.asarray(part[0]).ravel().tolist() for part in parts], sum(len(part) - 1 for part in parts)


def _as_json(rle: dict[str, Any]) -> dict[str, Any]:
    counts = rle["counts"]
    return rle | {"counts": counts.decode() if isinstance(counts, bytes) else counts}

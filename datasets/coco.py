"""COCO files with attributes: read, write, masks, where a photo lies."""

import math
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from . import masks
from .clean import CleanRows, clean_rows
from .document import Document, decode_document, gc_paused, read_text
from .errors import InputError
from .files import write_atomic
from .paths import resolve_image
from .schema import Schema
from .segmentations import decoded
from .validate import document_defects, refuse

__all__ = [
    "Annotation",
    "Category",
    "CocoFile",
    "Image",
    "annotation_rle",
    "as_read",
    "from_document",
    "read_coco",
    "resolve_image",
    "to_json",
    "write_coco",
]

_JSON = msgspec.json.Decoder()
_SHORT = 16  # of so few bytes, a segmentation may as well be decoded at once: most of these are null or []


class Image(msgspec.Struct):
    """A photo. ``width`` and ``height`` in pixels, after EXIF orientation. ``extra``: keys we do not know."""

    id: int
    file_name: str
    width: int
    height: int
    extra: dict[str, Any] = {}


class Category(msgspec.Struct):
    """A kind of product."""

    id: int
    name: str
    extra: dict[str, Any] = {}


class Annotation(msgspec.Struct):
    """One product in one photo.

    ``segmentation``: polygons ``[[x, y, x, y, ...], ...]`` in pixels, or an RLE ``{"size": [h, w], "counts": str or
    list}``, or None where only a box is known. ``bbox``: xywh in pixels. ``area``: of the mask, in pixels.
    """

    id: int
    image_id: int
    category_id: int
    segmentation: list[list[float]] | dict[str, Any] | None
    bbox: list[float]
    area: float
    iscrowd: int = 0
    attributes: dict[str, Any] = {}
    score: float | None = None
    extra: dict[str, Any] = {}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Annotation):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__struct_fields__)


_stored = Annotation.segmentation  # the struct's own slot


def _segmentation(self: Annotation) -> list[list[float]] | dict[str, Any] | None:
    value = _stored.__get__(self)
    if type(value) is msgspec.Raw:
        value = decoded(value)
        _stored.__set__(self, value)
    return value


# A polygon read from a file stays text until somebody asks for it: as lists of floats it takes five times the memory,
# and most programs only write it again or rasterise it once.
Annotation.segmentation = property(_segmentation, _stored.__set__)


def as_read(annotation: Annotation) -> bool:
    """Whether the segmentation is still the text that ``read_coco`` has checked: nobody has asked for it or set it."""
    return type(_stored.__get__(annotation)) is msgspec.Raw


@dataclass
class CocoFile:
    """A COCO file in memory. The look-ups are made on first use: do not add images or categories afterwards."""

    images: list[Image] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)
    categories: list[Category] = field(default_factory=list)
    schema: Schema = field(default_factory=Schema)
    info: dict[str, Any] = field(default_factory=dict)
    licenses: list[Any] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def image_by_id(self) -> dict[int, Image]:
        return {image.id: image for image in self.images}

    @cached_property
    def category_by_id(self) -> dict[int, Category]:
        return {category.id: category for category in self.categories}

    @cached_property
    def annotations_by_image(self) -> dict[int, list[Annotation]]:
        """image id -> its annotations in file order; an empty list for a photo without any."""
        found: dict[int, list[Annotation]] = {image.id: [] for image in self.images}
        for annotation in self.annotations:
            found.setdefault(annotation.image_id, []).append(annotation)
        return found


def read_coco(path: str | Path, *, renumber: bool = False) -> CocoFile:
    """Read a COCO file.

    Missing ``area`` and ``bbox`` are filled in from the mask, ``iscrowd`` with 0. Ids stay as they are;
    ``renumber=True`` gives the annotations ids from 1 on and so reads files whose annotation ids are none. Photos are
    not looked at: by convention ``file_name`` is relative to the folder of the file.

    Raises InputError that names the first defects (file, JSON path, found, expected, mend) and how many more there
    are. Defects that change no number (``Defect.fatal`` is False) are warned of.
    """
    path = Path(path)
    with gc_paused():
        text = read_text(path)
        if (clean := clean_rows(path, text, annotation_ids=not renumber)) is not None:
            return _from_clean(clean, renumber)
        document = decode_document(path, text)
        defects = document_defects(document, annotation_ids=not renumber)
        refuse(document, defects)
        if defects:
            more = f" and {len(defects) - 1} more; 'segattr data validate' lists them" if len(defects) > 1 else ""
            warnings.warn(f"{defects[0]}{more}", stacklevel=2)
        return from_document(document, renumber=renumber)


def from_document(document: Document, *, renumber: bool = False) -> CocoFile:
    """The typed file of a document without fatal defects, which is used up."""
    data = document.data
    if renumber:
        for i, row in enumerate(document.annotations):
            row["id"] = i + 1
    schema = Schema.from_json(data.pop("attribute_schema", None), str(document.path))
    coco = _without_annotations(data, schema)
    coco.annotations = [_annotation(row, coco.image_by_id) for row in document.annotations]
    return coco


def _without_annotations(data: dict[str, Any], schema: Schema) -> CocoFile:
    """The file of a checked top level, which is used up: what is left of it are the unknown keys."""
    return CocoFile(
        images=[Image(d.pop("id"), d.pop("file_name"), d.pop("width"), d.pop("height"), d) for d in data.pop("images")],
        categories=[Category(d.pop("id"), d.pop("name"), d) for d in data.pop("categories")],
        schema=schema,
        info=data.pop("info", None) or {},
        licenses=data.pop("licenses", None) or [],
        extra=data,
    )


def _from_clean(clean: CleanRows, renumber: bool) -> CocoFile:
    """The typed file of rows that need no second look."""
    clean.data.pop("attribute_schema", None)
    coco = _without_annotations(clean.data, clean.schema)
    for i, row in enumerate(clean.rows, 1):
        annotation = Annotation(
            i if renumber else row.id,
            row.image_id,
            row.category_id,
            decoded(row.segmentation) if len(row.segmentation) < _SHORT else row.segmentation,
            row.bbox,
            row.area,
            int(row.iscrowd or 0),
            _JSON.decode(row.attributes) or {},
            row.score,
            clean.extra(row),
        )
        if annotation.bbox is None or annotation.area is None:
            _fill(annotation, coco.image_by_id[annotation.image_id])
        coco.annotations.append(annotation)
    return coco


def _annotation(row: dict[str, Any], images: dict[int, Image]) -> Annotation:
    """The typed annotation of a checked row, which is used up: what is left of it are the unknown keys."""
    segmentation = row.pop("segmentation", None)
    if segmentation is not None and len(segmentation) < _SHORT:
        segmentation = decoded(segmentation)
    annotation = Annotation(
        id=row.pop("id"),
        image_id=row.pop("image_id"),
        category_id=row.pop("category_id"),
        segmentation=segmentation,
        bbox=row.pop("bbox", None),
        area=row.pop("area", None),
        iscrowd=int(row.pop("iscrowd", None) or 0),
        attributes=row.pop("attributes", None) or {},
        score=row.pop("score", None),
        extra=row,
    )
    if annotation.bbox is None or annotation.area is None:
        _fill(annotation, images[annotation.image_id])
    return annotation


def _fill(annotation: Annotation, image: Image) -> None:
    """The missing box and area, from the mask; a lone box gives its own area."""
    if annotation.segmentation is None:
        annotation.area = annotation.bbox[2] * annotation.bbox[3]
        return
    rle = annotation_rle(annotation, image)
    if annotation.bbox is None:
        annotation.bbox = list(masks.xywh(rle))
    if annotation.area is None:
        annotation.area = float(masks.area(rle))


def write_coco(path: str | Path, coco: CocoFile) -> None:
    """Write a COCO file, whole or not at all. Unknown keys go back to where they came from; numpy numbers and arrays
    are written as numbers and lists. Raises InputError for a box, area or score that is NaN or infinite: JSON has no
    such number, and null would read as "not there"."""
    for annotation in coco.annotations:
        for key, values in (("bbox", annotation.bbox), ("area", [annotation.area]), ("score", [annotation.score or 0])):
            if not all(map(math.isfinite, values)):
                found = values if key == "bbox" else values[0]
                raise InputError(f"{path}: annotation {annotation.id} has {key} {found}; expected finite numbers.")
    write_atomic(path, msgspec.json.encode(to_json(coco), enc_hook=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} cannot stand in JSON")


def to_json(coco: CocoFile) -> dict[str, Any]:
    """The file as plain dicts and lists, in the order that readers expect."""
    data: dict[str, Any] = {
        "info": coco.info,
        "licenses": coco.licenses,
        "images": [_image_json(i) for i in coco.images],
        "annotations": [_annotation_json(a) for a in coco.annotations],
        "categories": [{"id": c.id, "name": c.name} | c.extra for c in coco.categories],
    }
    if len(coco.schema):
        data["attribute_schema"] = coco.schema.to_json()
    return {**data, **coco.extra, **data}


def _image_json(image: Image) -> dict[str, Any]:
    known = {"id": image.id, "file_name": image.file_name, "width": image.width, "height": image.height}
    return {**known, **image.extra, **known}


def _annotation_json(annotation: Annotation) -> dict[str, Any]:
    d: dict[str, Any] = {"id": annotation.id, "image_id": annotation.image_id, "category_id": annotation.category_id}
    # pycocotools' loadRes and annToRLE want the key; an empty list is how COCO writes "only a box".
    segmentation = _stored.__get__(annotation)
    if isinstance(segmentation, dict) and isinstance(segmentation.get("counts"), bytes):
        segmentation = segmentation | {"counts": segmentation["counts"].decode()}
    d["segmentation"] = [] if segmentation is None else segmentation
    d |= {"bbox": annotation.bbox, "area": annotation.area, "iscrowd": annotation.iscrowd}
    if annotation.attributes:
        d["attributes"] = annotation.attributes
    if annotation.score is not None:
        d["score"] = annotation.score
    return {**d, **annotation.extra, **d} if annotation.extra else d


def annotation_rle(annotation: Annotation, image: Image) -> dict[str, Any]:
    """The mask as ``{"size": [h, w], "counts": str}`` on the full photo.

    Raises InputError for an annotation that has only a box: a box is not a mask.
    """
    if annotation.segmentation is None:
        raise InputError(
            f"annotation {annotation.id} of {image.file_name} has no segmentation, only a box; expected polygons or "
            "an RLE: annotate its mask or leave it out."
        )
    return masks.to_rle(annotation.segmentation, image.height, image.width)

"""COCO files with attributes: read, write, masks, where a photo lies."""

import gc
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PureWindowsPath
from typing import Any

import msgspec

from .errors import InputError
from .files import write_atomic
from .schema import Schema, shown


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


@contextmanager
def gc_paused() -> Iterator[None]:
    """No garbage collection inside: making millions of objects that all live on is most of the cost of reading."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def read_coco(path: str | Path) -> CocoFile:
    """Read a COCO file. Raises InputError for a file that cannot be read or has defects."""
    path = Path(path)
    with gc_paused():
        try:
            data = msgspec.json.decode(path.read_bytes())
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read as JSON ({error}).") from error
        if not isinstance(data, dict):
            raise InputError(f"{path}: found {shown(data)}, expected a COCO object with images and annotations.")
        return _build(data, str(path))


def _build(data: dict[str, Any], where: str) -> CocoFile:
    data = dict(data)
    schema = Schema.from_json(data.pop("attribute_schema", None), f"{where}: attribute_schema")
    images = [_image(d) for d in data.pop("images")]
    by_id = {image.id: image for image in images}
    return CocoFile(
        images=images,
        annotations=[_annotation(d, by_id) for d in data.pop("annotations")],
        categories=[_category(d) for d in data.pop("categories")],
        schema=schema,
        info=data.pop("info", None) or {},
        licenses=data.pop("licenses", None) or [],
        extra=data,
    )


def _image(d: dict[str, Any]) -> Image:
    return Image(d.pop("id"), d.pop("file_name"), d.pop("width"), d.pop("height"), d)


def _category(d: dict[str, Any]) -> Category:
    return Category(d.pop("id"), d.pop("name"), d)


def _annotation(d: dict[str, Any], images: dict[int, Image]) -> Annotation:
    annotation = Annotation(
        id=d.pop("id"),
        image_id=d.pop("image_id"),
        category_id=d.pop("category_id"),
        segmentation=d.pop("segmentation", None) or None,
        bbox=d.pop("bbox", None),
        area=d.pop("area", None),
        iscrowd=int(d.pop("iscrowd", None) or 0),
        attributes=d.pop("attributes", None) or {},
        score=d.pop("score", None),
        extra=d,
    )
    if annotation.bbox is None or annotation.area is None:
        _fill(annotation, images[annotation.image_id])
    return annotation


def _fill(annotation: Annotation, image: Image) -> None:
    """The missing box and area, from the mask; a lone box gives its own area."""
    from . import masks

    if annotation.segmentation is None:
        annotation.area = float(annotation.bbox[2] * annotation.bbox[3])
        return
    rle = annotation_rle(annotation, image)
    if annotation.bbox is None:
        annotation.bbox = list(masks.xywh(rle))
    if annotation.area is None:
        annotation.area = float(masks.area(rle))


def write_coco(path: str | Path, coco: CocoFile) -> None:
    """Write a COCO file, whole or not at all. Unknown keys go back to where they came from."""
    write_atomic(path, msgspec.json.encode(to_json(coco)))


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
    return data | coco.extra


def _image_json(image: Image) -> dict[str, Any]:
    known = {"id": image.id, "file_name": image.file_name, "width": image.width, "height": image.height}
    return known | image.extra


def _annotation_json(annotation: Annotation) -> dict[str, Any]:
    d: dict[str, Any] = {"id": annotation.id, "image_id": annotation.image_id, "category_id": annotation.category_id}
    # pycocotools' loadRes and annToRLE want the key; an empty list is how COCO writes "only a box".
    d["segmentation"] = [] if annotation.segmentation is None else annotation.segmentation
    d |= {"bbox": annotation.bbox, "area": annotation.area, "iscrowd": annotation.iscrowd}
    if annotation.attributes:
        d["attributes"] = annotation.attributes
    if annotation.score is not None:
        d["score"] = annotation.score
    return d | annotation.extra


def annotation_rle(annotation: Annotation, image: Image) -> dict[str, Any]:
    """The mask as ``{"size": [h, w], "counts": str}`` on the full photo.

    Raises InputError for an annotation that has only a box: a box is not a mask.
    """
    from . import masks

    if annotation.segmentation is None:
        raise InputError(
            f"annotation {annotation.id} of {image.file_name} has no segmentation, only a box; expected polygons or "
            "an RLE: annotate its mask or leave it out."
        )
    return masks.to_rle(annotation.segmentation, image.height, image.width)


def file_name_defect(file_name: str) -> str | None:
    """Why a ``file_name`` could point out of the image folder, or None. Looks at the text alone."""
    if not file_name or "\0" in file_name:
        return "is empty" if not file_name else "holds a NUL character"
    if file_name.startswith(("/", "\\")) or PureWindowsPath(file_name).drive:
        return "is an absolute path"
    parts = posixpath.normpath(file_name.replace("\\", "/")).split("/")
    return "leaves the image folder" if parts[0] == ".." else None


def resolve_image(images_dir: str | Path, file_name: str) -> Path:
    """``images_dir / file_name``, certain to lie inside ``images_dir`` after symlinks are followed.

    The file need not exist. Raises InputError when the name is absolute, climbs out by ``..`` or is a symlink to the
    outside.
    """
    mend = f"expected a path inside {images_dir}: move the photo there or give its folder with --images"
    if why := file_name_defect(file_name):
        raise InputError(f"file_name {shown(file_name)} {why}; {mend}.")
    path = Path(images_dir) / file_name
    if not path.resolve().is_relative_to(Path(images_dir).resolve()):
        raise InputError(f"file_name {shown(file_name)} is a link out of the image folder; {mend}.")
    return path

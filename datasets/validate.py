"""Find what is wrong with a COCO file: all of it, each with its JSON path, what was found, expected, and the mend."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from .document import Document, gc_paused, read_document
from .errors import InputError
from .paths import file_name_defect, resolve_image
from .schema import Schema, schema_defects, shown
from .segmentations import FARTHEST_PX, decoded, segmentation_defects

MAX_PIXELS = 2**31  # the rasteriser counts pixels in 32 bits
_MAX_INT = 2**63
BOX_TOLERANCE_PX = 1.0
_RENUMBER = "number them from 1 with: segattr data merge FILE --out NEW"


@dataclass(frozen=True)
class Defect:
    """One thing that is wrong. ``fatal``: reading the file is refused; else it reads, but look at it."""

    file: str
    path: str
    message: str
    fatal: bool = True

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.path, self.message) if part)


def find_defects(path: str | Path, images_dir: str | Path | None = None) -> list[Defect]:
    """All defects of a COCO file, in the order of the file; with ``images_dir`` also those of the photos (missing,
    outside of the folder, broken, of another size). Raises InputError only where there is no file to read."""
    with gc_paused():
        document = read_document(path)
        defects = document_defects(document)
        if images_dir is not None and document.readable:
            defects += _photo_defects(document, Path(images_dir))
        return defects


def document_defects(document: Document, *, annotation_ids: bool = True) -> list[Defect]:
    """The defects of a decoded file. ``annotation_ids=False`` leaves the ids of annotations alone: the caller is about
    to give new ones."""
    finder = Finder(str(document.path))
    for where, message in document.problems:
        finder.add(where, message)
    finder.known = {where for where, _ in document.problems}
    if document.readable:
        finder.check(document, annotation_ids)
    return finder.defects


def refuse(document: Document, defects: list[Defect], shown_first: int = 3) -> None:
    """Raise InputError that names the first fatal defects and counts the others; return where none is fatal."""
    fatal = [defect for defect in defects if defect.fatal]
    if not fatal:
        return
    lines = [str(defect) for defect in fatal[:shown_first]]
    if len(fatal) > shown_first:
        lines.append(f"... and {len(fatal) - shown_first} more; run 'segattr data validate {document.path}' to see all")
    raise InputError("\n  ".join(lines))


def _is_number(value: Any) -> bool:
    """JSON's integers have no end; beyond 64 bits they are no number to anybody else."""
    return type(value) is float or (type(value) is int and -_MAX_INT < value < _MAX_INT)


class Finder:
    """Walks a document once. Type tests are exact (``type(x) is int``): JSON has no subclasses, and True is no id."""

    def __init__(self, file: str):
        self.file = file
        self.defects: list[Defect] = []
        self.known: set[str] = set()  # paths that need no second defect
        self.sizes: dict[int, tuple[int, int] | None] = {}  # image id -> (h, w), None where the size is defect
        self.names: dict[int, str] = {}  # category id -> name
        self.absent: set[str] = set()  # of images, categories: no reference can be right, so none is listed
        self.schema = Schema()

    def add(self, path: str, message: str, fatal: bool = True) -> None:
        if path not in self.known:
            self.defects.append(Defect(self.file, path, message, fatal))

    def check(self, document: Document, annotation_ids: bool) -> None:
        self.check_head(document.data)
        self.check_lists(document.data)
        self.check_annotations(document.annotations, annotation_ids)

    def check_lists(self, data: dict[str, Any]) -> None:
        """Images and categories."""
        for i, image in self.objects("images", data.get("images")):
            self.check_image(f"images[{i}]", image)
        self.check_repeated("images", data.get("images"), "file_name")
        for i, category in self.objects("categories", data.get("categories")):
            self.check_category(f"categories[{i}]", category)
        self.check_repeated("categories", data.get("categories"), "name")

    def check_head(self, data: dict[str, Any]) -> None:
        for key, kind, word in (("info", dict, "an object"), ("licenses", list, "a list")):
            if data.get(key) is not None and not isinstance(data[key], kind):
                self.add(key, f"found {shown(data[key])}, expected {word}; correct it or leave it out")
        found = schema_defects(data.get("attribute_schema"))
        for path, message in found:
            self.add("attribute_schema" + path, message)
        if not found:
            self.schema = Schema.from_json(data.get("attribute_schema"), self.file)

    def objects(self, key: str, rows: Any) -> Iterator[tuple[int, dict[str, Any]]]:
        if not isinstance(rows, list):
            self.absent.add(key)
        if rows is None:
            self.add(key, f"is missing, expected a list of {key}; add it (an empty list where there are none)")
        elif not isinstance(rows, list):
            self.add(key, f"found {shown(rows)}, expected a list of objects; export the file again")
        else:
            for i, row in enumerate(rows):
                if isinstance(row, dict):
                    yield i, row
                else:
                    self.add(f"{key}[{i}]", f"found {shown(row)}, expected an object; remove it")

    def check_repeated(self, key: str, rows: Any, field: str) -> None:
        first: dict[str, int] = {}
        for i, row in enumerate(rows if isinstance(rows, list) else ()):
            value = row.get(field) if isinstance(row, dict) else None
            if isinstance(value, str) and first.setdefault(value, i) != i:
                twice = f"found {shown(value)}, also in {key}[{first[value]}]; merge the two"
                self.add(f"{key}[{i}].{field}", twice, fatal=False)

    def check_id(self, where: str, row: dict[str, Any], taken: Any, fatal_below_1: bool = False) -> int | None:
        """The id of a row, or None where it is no new integer."""
        value = row.get("id")
        if type(value) is not int or value >= _MAX_INT:
            self.add(f"{where}.id", f"{_found(row, 'id')}, expected an integer of 1 or more; give it one")
            return None
        if value < 1:
            why = "; COCO evaluation never matches such an annotation" if fatal_below_1 else ""
            self.add(f"{where}.id", f"found {value}, expected 1 or more{why}; {_RENUMBER}", fatal=fatal_below_1)
        if value in taken:
            mend = _RENUMBER if fatal_below_1 else "give each its own and correct what refers to it"
            self.add(f"{where}.id", f"found {value} a second time, expected each id once; {mend}")
            return None
        return value

    def check_image(self, where: str, image: dict[str, Any]) -> None:
        id_ = self.check_id(where, image, self.sizes)
        name = image.get("file_name")
        if not isinstance(name, str):
            self.add(f"{where}.file_name", f"{_found(image, 'file_name')}, expected a path in the image folder; add it")
        elif why := file_name_defect(name):
            mend = "expected a path in the image folder; move the photo there and correct the name"
            self.add(f"{where}.file_name", f"{shown(name)} {why}, {mend}")
        good = True
        for side in ("width", "height"):
            if type(image.get(side)) is not int or not 1 <= image[side] <= FARTHEST_PX:
                mend = f"expected an integer from 1 to {FARTHEST_PX}; write the photo's size in pixels"
                self.add(f"{where}.{side}", f"{_found(image, side)}, {mend}")
                good = False
        if good and image["width"] * image["height"] > MAX_PIXELS:
            found = f"found {image['width']} x {image['height']} px"
            self.add(f"{where}.width", f"{found}, expected at most 2**31 px in all; write the photo's size in pixels")
            good = False
        if id_ is not None:
            self.sizes[id_] = (image["height"], image["width"]) if good else None

    def check_category(self, where: str, category: dict[str, Any]) -> None:
        id_ = self.check_id(where, category, self.names)
        name = category.get("name")
        if not isinstance(name, str) or not name:
            self.add(f"{where}.name", f"{_found(category, 'name')}, expected a name; add it")
        if id_ is not None:
            self.names[id_] = name if isinstance(name, str) else ""

    def check_annotations(self, rows: Any, ids: bool) -> None:
        taken: set[int] = set()
        for i, row in self.objects("annotations", rows):
            where = f"annotations[{i}]"
            if ids and (id_ := self.check_id(where, row, taken, fatal_below_1=True)) is not None:
                taken.add(id_)
            image_id = self.check_reference(where, row, "image_id", self.sizes, "images")
            category_id = self.check_reference(where, row, "category_id", self.names, "categories")
            size = self.sizes.get(image_id)
            box = self.check_box(where, row.get("bbox"), size)
            self.check_segmentation(f"{where}.segmentation", row, size, box)
            self.check_scalars(where, row)
            self.check_attributes(where, row, category_id)

    def check_reference(self, where: str, row: dict[str, Any], key: str, ids: dict[int, Any], rows: str) -> int | None:
        """The id, where it is one."""
        value = row.get(key)
        if type(value) is int and value in ids:
            return value
        if rows not in self.absent:
            self.add(f"{where}.{key}", f"{_found(row, key)}, expected the id of one of {rows}; {_OR_DROP}")
        return None

    def check_segmentation(self, where: str, row: dict[str, Any], size: Any, box: list[float] | None) -> None:
        try:
            value = decoded(row.get("segmentation"))
        except (msgspec.DecodeError, RecursionError) as error:
            self.add(where, f"is not JSON ({error}), expected polygons or an RLE; draw the mask again")
            return
        if value is not None:
            for path, message, fatal in segmentation_defects(value, size, box):
                self.add(where + path, message, fatal)
        elif row.get("bbox") is None:
            self.add(where, "is missing, and so is bbox, expected one of them; annotate it")

    def check_box(self, where: str, box: Any, size: tuple[int, int] | None) -> list[float] | None:
        """The box where it is four numbers."""
        if box is None:
            return None
        where += ".bbox"
        if type(box) is not list or len(box) != 4 or not all(map(_is_number, box)):
            self.add(where, f"found {shown(box)}, expected [x, y, width, height] in pixels; {_DROP_BOX}")
            return None
        x, y, w, h = box
        if not all(-math.inf < v < math.inf for v in box):
            return None  # listed where the file was decoded
        if w < 0 or h < 0:
            self.add(where, f"found {shown(box)}, expected a width and height of 0 or more; {_DROP_BOX}")
        elif w == 0 or h == 0:
            self.add(where, f"found {shown(box)}, expected a box with an area; {_DROP_BOX}", fatal=False)
        elif size is not None:
            slack = BOX_TOLERANCE_PX
            if x < -slack or y < -slack or x + w > size[1] + slack or y + h > size[0] + slack:
                hint = " (x, y, x, y written for x, y, width, height?)" if w <= size[1] and h <= size[0] else ""
                inside = f"expected a box inside the image, {size[1]} x {size[0]} px{hint}"
                self.add(where, f"found {shown(box)}, {inside}; clip it, or {_DROP_BOX}")
        return box

    def check_scalars(self, where: str, row: dict[str, Any]) -> None:
        area, crowd, score = row.get("area"), row.get("iscrowd"), row.get("score")
        if area is not None and (not _is_number(area) or area < 0):
            mend = "expected a number of 0 or more; leave it out and it is filled in"
            self.add(f"{where}.area", f"found {shown(area)}, {mend}")
        if crowd is not None and (type(crowd) not in (int, bool) or crowd not in (0, 1)):
            self.add(f"{where}.iscrowd", f"found {shown(crowd)}, expected 0 or 1; leave it out for 0")
        if score is not None and not _is_number(score):
            self.add(f"{where}.score", f"found {shown(score)}, expected a number; leave it out where there is none")

    def check_attributes(self, where: str, row: dict[str, Any], category_id: int | None) -> None:
        attributes = row.get("attributes")
        if attributes is not None:
            for path, message in self.schema.defects(attributes, self.names.get(category_id)):
                self.add(f"{where}.attributes.{path}" if path else f"{where}.attributes", message)


_OR_DROP = "correct it or remove the annotation"
_DROP_BOX = "leave bbox out and it is filled in from the segmentation"


def _found(row: dict[str, Any], key: str) -> str:
    return f"found {shown(row[key])}" if key in row else "is missing"


def _photo_defects(document: Document, images_dir: Path) -> list[Defect]:
    from .images import read_size

    if not images_dir.is_dir():
        raise InputError(f"{images_dir} is not a folder; expected the folder that file_name is relative to.")
    finder = Finder(str(document.path))
    images = document.data.get("images")
    for i, image in enumerate(images if isinstance(images, list) else ()):
        name = image.get("file_name") if isinstance(image, dict) else None
        if not isinstance(name, str) or file_name_defect(name):
            continue  # listed already
        where = f"images[{i}].file_name"
        try:
            photo = resolve_image(images_dir, name)
            if not photo.is_file():
                finder.add(where, f"{shown(name)} is not in {images_dir}; restore the photo, or correct --images")
                continue
            height, width = read_size(photo)
        except (InputError, OSError) as error:
            finder.add(where, str(error))
            continue
        if (image.get("height"), image.get("width")) != (height, width):
            said = f"found width {shown(image.get('width'))} and height {shown(image.get('height'))}"
            mend = "restore that photo or annotate this one again"
            finder.add(f"images[{i}]", f"{said}, the photo {name} has {width} and {height}; {mend}")
    return finder.defects

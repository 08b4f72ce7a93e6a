"""COCO-like files with their makers' quirks, mended so that the strict reader takes them. Every change is counted.

What is mended: ids from 0, annotation ids used twice, missing or null segmentations, boxes and areas, polygons that are
none, boxes that do not lie around their mask or not in the photo, photos listed twice, annotations that belong to no
photo. What is left is judged by the validator that every file of ours has to pass.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from .. import masks
from ..coco import CocoFile, from_document
from ..document import Document, gc_paused, read_document
from ..errors import InputError
from ..images import read_size
from ..paths import file_name_defect, resolve_image
from ..schema import shown
from ..segmentations import decoded, segmentation_defects
from ..validate import BOX_TOLERANCE_PX, Defect, document_defects, refuse
from .notes import Notes, Track, untracked

_MENDABLE = re.compile(r"annotations\[\d+\]\.(segmentation|bbox|area)\b")
_NUMBER_TYPES = {int, float}
_HUGE = 1e15  # px
_SHORT_COUNTS = 8  # an RLE without a pixel is no longer, whatever its size
_ROW = re.compile(r"^(images|annotations)\[(\d+)\]")


class Shift(NamedTuple):
    """What is added to the ids. None: nothing, but where some are below 1 they are all raised so that the lowest is 1."""

    images: int | None = None
    categories: int | None = None
    annotations: int | None = None


_NO_SHIFT = Shift()


def load(path: str | Path) -> Document:
    """The decoded file. Raises InputError for what no mending can read; NaN in a mask, a box or an area can be."""
    document = read_document(path)
    problems = [(where, message) for where, message in document.problems if not _MENDABLE.match(where)]
    if problems:
        refuse(document, [Defect(str(path), where, message) for where, message in problems])
    document.problems = []
    return document


def mend(
    document: Document,
    notes: Notes,
    *,
    images_dir: Path | None = None,
    shift: Shift = _NO_SHIFT,
    wheres: Sequence[str] | None = None,
    check_boxes: bool = False,
    track: Track = untracked,
) -> CocoFile:
    """The document as a file of ours, which is as ``read_coco`` wants it; the document is used up.

    ``images_dir``: where photos whose size is missing are looked up. ``wheres``: what to call each annotation in notes
    and errors (default: ``annotations[3]``). ``check_boxes``: also boxes in the photo that share less than half with
    their mask are measured anew. Annotations with a new id keep the old one as ``original_id``. Raises
    InputError for what cannot be mended.
    """
    with gc_paused():
        data = document.data
        if document.annotations is None:
            notes.add("files without a list of annotations (the photos stand without any)", str(document.path))
            document.annotations = []
        images = _Images(str(document.path), notes, images_dir)
        data["images"] = images.mended(data.get("images"), shift.images)
        category_offset = _offset(data.get("categories"), shift.categories, "categories", notes)
        categories = set()
        for row in _objects(data.get("categories")):
            if type(row.get("id")) is int:
                row["id"] += category_offset
                categories.add(row["id"])
        kept: list[int] = []
        if isinstance(document.annotations, list):
            mender = _Annotations(notes, images, categories, category_offset, check_boxes)
            kept = mender.mend(document, shift.annotations, wheres, track)
        names = {"images": [f"images[{i}]" for i in images.kept]}
        names["annotations"] = [wheres[i] if wheres else f"annotations[{i}]" for i in kept]
        _judge(document, names, notes)
        return from_document(document)


def _judge(document: Document, names: dict[str, list[str]], notes: Notes) -> None:
    """Raise InputError for what is still fatal; rows are named by their place in the source."""
    defects = []
    for defect in document_defects(document):
        if found := _ROW.match(defect.path):
            kind, i = found[1], int(found[2])
            defect = replace(defect, path=names[kind][i] + defect.path[found.end() :])
        defects.append(defect)
    refuse(document, defects)
    for defect in defects:
        notes.add("findings left as they are; 'segattr data validate' lists them", f"{defect.path}: {defect.message}")


def _objects(rows: Any) -> list[dict[str, Any]]:
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _offset(rows: Any, asked: int | None, what: str, notes: Notes) -> int:
    ids = [row["id"] for row in _objects(rows) if type(row.get("id")) is int]
    if asked is not None or not ids or min(ids) >= 1:
        return asked or 0
    notes.add(f"lists whose ids begin below 1 (every id raised by {1 - min(ids)})", what)
    return 1 - min(ids)


class _Images:
    """The list of images: ids, sizes, photos listed twice."""

    def __init__(self, file: str, notes: Notes, images_dir: Path | None):
        self.file, self.notes, self.images_dir = file, notes, images_dir
        self.sizes: dict[int, tuple[int, int] | None] = {}  # id -> (h, w); None where the validator will refuse it
        self.kept: list[int] = []
        self.offset = 0

    def mended(self, rows: Any, shift: int | None) -> Any:
        if not isinstance(rows, list):
            return rows
        self.offset = _offset(rows, shift, "images", self.notes)
        names: dict[int, Any] = {}
        for i, row in enumerate(rows):
            if isinstance(row, dict) and type(row.get("id")) is int:
                row["id"] += self.offset
                if row["id"] in names and names[row["id"]] == row.get("file_name"):
                    self.notes.add("photos listed twice, left out the second time", f"images[{i}]")
                    continue
                names[row["id"]] = row.get("file_name")
                self.sizes[row["id"]] = self._size(row, f"images[{i}]")
            self.kept.append(i)
        return [rows[i] for i in self.kept]

    def _size(self, row: dict[str, Any], where: str) -> tuple[int, int] | None:
        for side in ("width", "height"):
            if isinstance(row.get(side), float) and row[side].is_integer():
                row[side] = int(row[side])
        if not row.get("width") or not row.get("height"):
            row["height"], row["width"] = self._photo_size(row.get("file_name"), where)
            self.notes.add("sizes of photos missing, taken from the photos", where)
        good = all(type(row[side]) is int and 0 < row[side] <= 2**31 for side in ("width", "height"))
        return (row["height"], row["width"]) if good else None

    def _photo_size(self, name: Any, where: str) -> tuple[int, int]:
        said = f"{self.file}: {where} ({shown(name)}) has no width and height"
        if self.images_dir is None or not isinstance(name, str) or file_name_defect(name):
            raise InputError(f"{said}; expected them in pixels: give the folder of the photos with --images.")
        photo = resolve_image(self.images_dir, name)
        if not photo.is_file():
            raise InputError(
                f"{said}, and {photo} is not there to measure; give the folder of the photos with --images."
            )
        return read_size(photo)


class _Annotations:
    """The list of annotations."""

    def __init__(self, notes: Notes, images: _Images, categories: set[int], category_offset: int, check_boxes: bool):
        self.notes, self.sizes, self.categories = notes, images.sizes, categories
        self.offsets = (images.offset, category_offset)
        self.check_boxes = check_boxes

    def mend(self, document: Document, shift: int | None, wheres: Sequence[str] | None, track: Track) -> list[int]:
        """Mends the rows in place; returns which were kept."""
        rows = document.annotations
        kept = []
        offset = _offset(rows, shift, "annotations", self.notes)
        for i, row in enumerate(track(rows, "annotations")):
            where = wheres[i] if wheres else f"annotations[{i}]"
            if not isinstance(row, dict) or (self._placed(row, where) and self._drawn(row, where)):
                kept.append(i)
        document.annotations = [rows[i] for i in kept]
        names = [wheres[i] if wheres else f"annotations[{i}]" for i in kept]
        self._number(document.annotations, names, offset)
        return kept

    def _placed(self, row: dict[str, Any], where: str) -> bool:
        by_image, by_category = self.offsets
        for key, known, offset, what in (
            ("image_id", self.sizes, by_image, "photo"),
            ("category_id", self.categories, by_category, "category"),
        ):
            if type(row.get(key)) is int:
                row[key] += offset
            if type(row.get(key)) is not int or row[key] not in known:
                self.notes.add(f"annotations left out (their {what} is not in the file)", where)
                return False
        return True

    def _number(self, rows: list[Any], names: list[str], offset: int) -> None:
        taken: set[int] = set()
        again = []
        for row, where in zip(rows, names, strict=True):
            if not isinstance(row, dict):
                continue
            id_ = row["id"] + offset if type(row.get("id")) is int else None
            if id_ is None or not 1 <= id_ < 2**62 or id_ in taken:
                kind = "without a usable id, numbered" if id_ is None else "whose id was used before, numbered anew"
                self.notes.add(f"annotations {kind}", where)
                if "id" in row:
                    row.setdefault("original_id", row["id"])
                again.append(row)
            else:
                row["id"] = id_
                taken.add(id_)
        first = max(taken, default=0) + 1
        for number, row in enumerate(again, first):
            row["id"] = number

    def _drawn(self, row: dict[str, Any], where: str) -> bool:
        """Mends mask, box and area; False where nothing is left to draw."""
        size = self.sizes[row["image_id"]]
        if size is None:
            return True
        area = row.get("area")
        if area is not None and (type(area) not in (int, float) or not 0 <= area < math.inf):
            self.notes.add("areas that are none, measured anew", where)
            area = row["area"] = None
        mask = self._mask(row, where, size)
        box = _numbers(row.get("bbox"))
        doubtful = area is None or area < 1 or box is None or min(box[2:]) < 1
        doubtful |= isinstance(mask, dict) and len(mask["counts"]) <= _SHORT_COUNTS
        if mask is not None and doubtful and not masks.area(masks.to_rle(mask, *size)):
            self.notes.add("masks without a pixel left out", where)
            mask = row["segmentation"] = row["area"] = None
        return self._boxed(row, where, size, mask)

    def _mask(self, row: dict[str, Any], where: str, size: tuple[int, int]) -> Any:
        try:
            value = decoded(row.get("segmentation"))
        except (msgspec.DecodeError, RecursionError) as error:
            self.notes.add("masks left out (no JSON that can be read)", f"{where}.segmentation: {error}")
            return None
        if value is None:
            return None
        mended = self._polygons(value, where) if isinstance(value, list) else value
        if mended is not None:
            for path, message, fatal in segmentation_defects(mended, size, None):
                if fatal:
                    self.notes.add(f"masks left out ({_reason(path)})", f"{where}.segmentation{path}: {message}")
                    mended = None
                    break
        if mended is not value:
            row["segmentation"] = mended
        return mended

    def _polygons(self, value: list[Any], where: str) -> list[Any] | None:
        if all(type(v) in (int, float) for v in value):
            self.notes.add("polygons that were not in a list, put into one", where)
            value = [value]
        sound = []
        for polygon in value:
            if not isinstance(polygon, list) or not _all_numbers(polygon):
                self.notes.add("polygons that are no list of numbers left out", where)
            elif len(polygon) < 6:
                self.notes.add("polygons of fewer than three points left out", where)
            elif len(polygon) % 2:
                self.notes.add("polygons of an odd count of numbers left out", where)
            else:
                sound.append(polygon)
        return value if len(sound) == len(value) else sound or None

    def _boxed(self, row: dict[str, Any], where: str, size: tuple[int, int], mask: Any) -> bool:
        box = _numbers(row.get("bbox"))
        if mask is not None:
            elsewhere = self.check_boxes and box is not None and _disagrees(mask, size, box)
            if row.get("bbox") is not None and (elsewhere or box is None or not _fits(box, size)):
                self.notes.add("boxes that are not around their masks, measured anew", where)
                row["bbox"] = None
                if elsewhere:
                    row["area"] = None  # of something else, as the box is
            return True
        row["segmentation"] = None
        inside = _clipped(box, size) if box is not None else None
        if inside is None:
            self.notes.add("annotations left out (neither a mask nor a box in the photo)", where)
            return False
        if inside != box and not _fits(box, size):
            self.notes.add("boxes clipped to their photo", where)
            row["bbox"], row["area"] = inside, None
        return True


def _reason(path: str) -> str:
    """Of what is fatal for a mask, in a word, by where it was found."""
    if path == ".size":
        return "an RLE of another size than the photo"
    return "an RLE that cannot be read" if path == ".counts" else "no polygons in the photo"


def _all_numbers(polygon: list[Any]) -> bool:
    """Whether all are finite numbers. Their sum says so, in one look at each: there are millions."""
    try:
        return set(map(type, polygon)) <= _NUMBER_TYPES and abs(sum(polygon)) < _HUGE
    except OverflowError:  # an integer of JSON may be too long for a float
        return False


def _numbers(box: Any) -> list[float] | None:
    """A box of four finite numbers with no negative side."""
    if type(box) is not list or len(box) != 4 or not all(type(v) in (int, float) for v in box):
        return None
    return box if all(abs(v) < 1e9 for v in box) and min(box[2:]) >= 0 else None


def _fits(box: list[float], size: tuple[int, int]) -> bool:
    x, y, w, h = box
    slack = BOX_TOLERANCE_PX
    return w > 0 and h > 0 and x >= -slack and y >= -slack and x + w <= size[1] + slack and y + h <= size[0] + slack


def _clipped(box: list[float], size: tuple[int, int]) -> list[float] | None:
    x, y, w, h = box
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, size[1]), min(y + h, size[0])
    return [x0, y0, x1 - x0, y1 - y0] if x1 > x0 and y1 > y0 else None


def _disagrees(mask: Any, size: tuple[int, int], box: list[float]) -> bool:
    return isinstance(mask, list) and any(not path for path, _, _ in segmentation_defects(mask, size, box))

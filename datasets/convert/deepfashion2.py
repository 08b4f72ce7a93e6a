"""DeepFashion2: one JSON a photo (``annos/000001.json``) with ``item1``, ``item2``, ..., photos in ``image/``.

Boxes are xyxy, masks polygons, sizes stand nowhere: the photos are measured. What describes the shot rather than the
product (``scale``, ``occlusion``, ``zoom_in``, ``viewpoint``), ``style`` and ``landmarks`` stay keys of the annotation,
``source`` and ``pair_id`` of the photo: ``segattr data split --group-by pair_id`` keeps a product's photos together.
"""

import re
from pathlib import Path
from typing import Any

import msgspec

from ..coco import CocoFile
from ..document import Document
from ..errors import InputError
from ..images import ImageError, read_size
from .mend import mend
from .notes import Notes, Track, untracked

CATEGORIES = (
    "short sleeve top",
    "long sleeve top",
    "short sleeve outwear",
    "long sleeve outwear",
    "vest",
    "sling",
    "shorts",
    "trousers",
    "skirt",
    "short sleeve dress",
    "long sleeve dress",
    "vest dress",
    "sling dress",
)
_ITEM = re.compile(r"item(\d+)$")


def read(folder: Path, notes: Notes, images_dir: Path | None = None, track: Track = untracked) -> CocoFile:
    """The JSONs of ``folder/annos`` (or of ``folder``) as a file of ours, names relative to ``images_dir`` (left out:
    ``image`` beside the JSONs). Photos or JSONs that cannot be read are left out, with a note. Raises InputError where
    there are none at all."""
    annos = folder / "annos" if (folder / "annos").is_dir() else folder
    images_dir = images_dir or photos_of(folder)
    files = sorted(annos.glob("*.json")) if annos.is_dir() else []
    if not files:
        raise InputError(f"{annos} holds no .json; expected the folder of DeepFashion2 with annos/000001.json, ...")
    if not images_dir.is_dir():
        raise InputError(f"{images_dir} is not a folder; expected the photos, to measure them: name it with --images.")
    images: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    wheres: list[str] = []
    for file in track(files, "photos"):
        data, size = _data(file, notes), _size(images_dir / f"{file.stem}.jpg", notes)
        if data is not None and size is not None:
            image, items, names = from_deepfashion2(data, len(images) + 1, f"{file.stem}.jpg", size)
            images.append(image)
            rows += items
            wheres += [f"{file.name}: {name}" for name in names]
    if not images:
        raise InputError(
            f"none of the {len(files)} photos of {annos} can be read in {images_dir}; name theirs with --images."
        )
    for i, (row, where) in enumerate(zip(rows, wheres, strict=True), 1):
        row["id"] = i
        if "category_name" in row:
            notes.add("items whose category_name is not that of category_id (the id counts)", where)
    categories = [{"id": i, "name": name, "supercategory": "clothes"} for i, name in enumerate(CATEGORIES, 1)]
    document = Document(folder, {"images": images, "categories": categories}, rows)
    return mend(document, notes, wheres=wheres)


def photos_of(folder: Path) -> Path:
    """Where the photos are by convention."""
    return (folder if (folder / "annos").is_dir() else folder.parent) / "image"


def from_deepfashion2(
    data: dict[str, Any], image_id: int, file_name: str, size: tuple[int, int]
) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    """The COCO image of a decoded JSON, its annotations (without ids) and the names of their items. ``size``: (h, w)."""
    about = {key: value for key, value in data.items() if not _ITEM.match(key)}
    image = {**about, "id": image_id, "file_name": file_name, "height": size[0], "width": size[1]}
    items = sorted((int(found[1]), key) for key in data if (found := _ITEM.match(key)))
    rows = []
    for _, key in items:
        item = dict(data[key]) if isinstance(data[key], dict) else {}
        box = item.pop("bounding_box", None)
        if isinstance(box, list) and len(box) == 4 and all(type(v) in (int, float) for v in box):
            x0, y0, x1, y1 = box
            item["bbox"] = [x0, y0, x1 - x0, y1 - y0]
        number = item.get("category_id")
        if (
            type(number) is int
            and 0 < number <= len(CATEGORIES)
            and item.get("category_name") == CATEGORIES[number - 1]
        ):
            del item["category_name"]
        rows.append(item | {"image_id": image_id})
    return image, rows, [key for _, key in items]


def _data(file: Path, notes: Notes) -> dict[str, Any] | None:
    try:
        data = msgspec.json.decode(file.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        notes.add("files left out (no JSON)", f"{file}: {error}")
        return None
    if not isinstance(data, dict):
        notes.add("files left out (no JSON)", f"{file}: expected an object with item1, ...")
        return None
    return data


def _size(photo: Path, notes: Notes) -> tuple[int, int] | None:
    if not photo.is_file():
        notes.add("photos left out (not in the folder of photos)", str(photo))
        return None
    try:
        return read_size(photo)
    except (ImageError, OSError) as error:
        notes.add("photos left out (they cannot be read)", str(error))
        return None

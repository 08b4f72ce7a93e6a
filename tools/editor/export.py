"""Store -> COCO: the file that training reads, written whole, with everything that came in and nothing made up."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from msgspec import UNSET

from ...datasets import masks
from ...datasets.coco import Annotation, Category, CocoFile, Image, write_coco
from ...datasets.errors import InputError
from ...datasets.schema import Schema
from . import edits
from .records import Instance, Origin, Photo, mask_digest
from .store import Store, writing

REVIEW = {"todo": "todo", "drafted": "draft", "accepted": "accepted", "rejected": "rejected"}  # state -> "review"
COMMENT = "review_comment"
_LISTED = 5
_one_at_a_time = threading.Lock()


def to_coco(store: Store, states: Iterable[str] = ("accepted",)) -> CocoFile:
    """The photos in these states as a COCO file, in the order in which they came in.

    What nobody changed is as it came in, polygons and ids included. A photo that is not accepted says so under
    "review", one with a comment under "review_comment". Raises CorruptError while a photo of the store cannot be read,
    and InputError for instances that the schema has no place for (a category deleted since): nothing is left out
    silently.
    """
    project, wanted = store.project, set(states)
    ids = {category["name"]: category["id"] for category in reversed(project.categories)}
    names = {category["id"]: category["name"] for category in project.categories}
    coco = CocoFile(
        categories=[
            Category(c["id"], c["name"], {k: v for k, v in c.items() if k not in ("id", "name")})
            for c in project.categories
        ],
        schema=store.schema,
        info=dict(project.info),
        licenses=list(project.licenses),
        extra=dict(project.extra),
    )
    photos = [photo for photo in store.photos() if photo.state in wanted]
    _refuse_defects(photos, project.category_names, coco.schema)
    rows: list[tuple[tuple, Annotation]] = []
    for photo in photos:
        coco.images.append(_image(photo))
        for instance in photo.instances:
            origin = photo.origins[instance.id]
            category_id = origin.category_id if names.get(origin.category_id) == instance.category else None
            annotation = _annotation(photo, instance, origin, category_id or ids[instance.category])
            rows.append(((origin.position is None, origin.position or 0, origin.annotation_id), annotation))
    coco.annotations = [annotation for _, annotation in sorted(rows, key=lambda row: row[0])]
    return coco


def _refuse_defects(photos: Sequence[Photo], categories: list[str], schema: Schema) -> None:
    found = [
        f"{photo.file_name}: instance {id_}, {where}: {message}"
        for photo in photos
        for id_, where, message in edits.defects(photo.instances, categories, schema)
        if not (where == "segmentation" and photo.state != "accepted")
        and not (where == "segmentation" and _as_it_came(photo, id_))
    ]
    if found:
        more = f"\n  ... and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        raise InputError(
            "nothing was exported, because training would refuse the file:\n  " + "\n  ".join(found[:_LISTED]) + more
        )


def _as_it_came(photo: Photo, instance_id: int) -> bool:
    instance = next(one for one in photo.instances if one.id == instance_id)
    return photo.origins[instance_id].mask == mask_digest(instance.segmentation.counts)


def _image(photo: Photo) -> Image:
    extra = dict(photo.extra)
    if photo.state != "accepted" or not photo.instances:  # an accepted photo of nothing is no photo left to do
        extra["review"] = REVIEW[photo.state]
    if photo.comment:
        extra[COMMENT] = photo.comment
    return Image(photo.image_id, photo.file_name, photo.width, photo.height, extra)


def _annotation(photo: Photo, instance: Instance, origin: Origin, category_id: int) -> Annotation:
    extra = dict(instance.extra)
    if photo.state == "drafted":
        extra.setdefault("review", "draft")
    if instance.probabilities is not None:
        extra["probabilities"] = instance.probabilities
    rle = instance.segmentation.plain()
    segmentation: Any = rle
    if origin.mask == mask_digest(rle["counts"]):
        if origin.segmentation is not UNSET:
            segmentation = origin.segmentation or None
        bbox, area = origin.bbox, origin.area
    else:
        bbox, area = list(masks.xywh(rle)), float(masks.area(rle))
        extra.pop("palette", None)  # was measured under another mask
    return Annotation(
        id=origin.annotation_id,
        image_id=photo.image_id,
        category_id=category_id,
        segmentation=segmentation,
        bbox=bbox,
        area=area,
        iscrowd=instance.iscrowd,
        attributes=instance.attributes,
        score=instance.score,
        extra=extra,
    )


def digest(path: Path) -> str:
    """SHA-256 of a file, "" where there is none."""
    try:
        return sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error


def write_export(store: Store, out: Path, states: Iterable[str] = ("accepted",)) -> dict[str, Any]:
    """Write the photos in these states to `out`; returns {"path", "photos", "annotations"}, and "kept": where a file
    of `out` that was neither written nor read here lies now. Raises InputError where there is nothing to export,
    FullError, and what `to_coco` raises; `out` then is as it was."""
    states = list(states)
    with _one_at_a_time:
        coco = to_coco(store, states)
        if not coco.images:
            raise InputError(f"nothing to export: no photo is {' or '.join(states)} yet.")
        done: dict[str, Any] = {
            "path": str(out),
            "photos": len(coco.images),
            "annotations": len(coco.annotations),
        }
        with writing(out):
            if (found := digest(out)) and found != store.project.seen:
                done["kept"] = str(_set_aside(out, store.folder / "replaced"))
            write_coco(out, coco)
        store.project.seen = digest(out)
        store.write_project()
    return done


def _set_aside(out: Path, folder: Path) -> Path:
    """A copy of what somebody else wrote to `out`."""
    folder.mkdir(exist_ok=True)
    number = 1
    while (kept := folder / f"{out.stem}-{number}{out.suffix}").exists():
        number += 1
    shutil.copy2(out, kept)
    return kept

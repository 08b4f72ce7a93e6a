"""COCO -> store: every photo that the store lacks, with whatever the file says of it; what is there stays."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET

from ...datasets import masks
from ...datasets.coco import Annotation, CocoFile, Image, annotation_rle, read_coco
from ...datasets.errors import InputError
from ...datasets.schema import Attribute, Schema
from ...datasets.validate import find_defects
from .export import COMMENT, REVIEW, digest
from .records import Instance, Origin, Photo, Rle, mask_digest, photo_key
from .store import Store

_STATES = {review: state for state, review in REVIEW.items()}
_LISTED = 100


@dataclass
class Imported:
    """added, refreshed: how many photos. kept: names of photos that a refresh left, for what was done to them here."""

    added: int = 0
    refreshed: int = 0
    kept: list[str] = field(default_factory=list)


def read_checked(path: Path, warn: Callable[[str], None] = lambda _: None) -> CocoFile:
    """A COCO file without fatal defects; `warn` is told the others. Raises InputError that lists all the fatal ones, as
    `segattr data validate` does."""
    defects = find_defects(path)
    fatal = [str(defect) for defect in defects if defect.fatal]
    if fatal:
        if len(fatal) > _LISTED:
            more = f"... and {len(fatal) - _LISTED} more; run 'segattr data validate {path}' to see all"
            fatal = [*fatal[:_LISTED], more]
        raise InputError("\n  ".join(fatal))
    for defect in defects:
        warn(str(defect))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # told already
        return read_coco(path)


def import_out(store: Store, out: Path, warn: Callable[[str], None] = lambda _: None) -> Imported:
    """Take in what somebody else wrote to --out since the store last read or wrote it: photos without a mark are
    finished work, and photos that nobody touched here are as the file says."""
    found = digest(out)
    if not found or found == store.project.seen:
        return Imported()
    done = import_coco(store, read_checked(out, warn), unmarked="accepted", existing="refresh")
    store.project.seen = found
    store.write_project()
    return done


def import_coco(
    store: Store,
    coco: CocoFile,
    *,
    unmarked: Literal["accepted", "drafted"] = "drafted",
    existing: Literal["keep", "refresh", "redraft"] = "keep",
) -> Imported:
    """Add the photos of a file to the store. Killed in between, the same call adds the rest.

    unmarked: the state of a photo with annotations whose "review" is none of draft, todo, accepted, rejected; without
    annotations it is "todo". existing: what happens to a photo that the store has: "keep" leaves it; "refresh"
    replaces it where nobody touched it; "redraft" does so only before it is accepted or rejected. Ids stay where they
    are free. Categories and attribute values that the project lacks are added; raises InputError where the file means
    another kind of attribute by the same name.
    """
    keys = list(_keys(coco))
    done = Imported()
    if existing == "keep" and all(map(store.has, keys)):
        return done  # nor does the schema change
    category_ids = _join_head(store, coco)
    first_position = store.annotation_position
    positions = {id(annotation): first_position + i for i, annotation in enumerate(coco.annotations)}
    names = {category.id: category.name for category in coco.categories}
    for key, image in zip(keys, coco.images, strict=True):
        before = None
        if store.has(key):
            if existing == "keep" or key in store.problems:
                continue
            before = store.photo(key)
        annotations = coco.annotations_by_image[image.id]
        photo = _photo(store, key, image, annotations, before, names, category_ids, positions)
        review = _STATES.get(image.extra.get("review")) if isinstance(image.extra.get("review"), str) else None
        photo.state = review or (unmarked if annotations else "todo")
        if before is None:
            store.write(photo)
            done.added += 1
        elif _same(before, photo):
            continue
        elif not before.touched and not (existing == "redraft" and _decided(before)):
            photo.revision = before.revision + 1
            store.write(photo)
            done.refreshed += 1
        else:
            done.kept.append(image.file_name)
    return done


def _keys(coco: CocoFile) -> Iterator[str]:
    """The key of each image; a photo that is listed again has one of its own."""
    met = Counter[str]()
    for image in coco.images:
        name = os.path.normpath(image.file_name)
        met[name] += 1
        yield photo_key(name, met[name])


def _decided(photo: Photo) -> bool:
    return photo.state in ("accepted", "rejected")


def _same(a: Photo, b: Photo) -> bool:
    def said(photo: Photo) -> list[tuple]:
        return [(i.category, i.attributes, i.segmentation, i.iscrowd) for i in photo.instances]

    return said(a) == said(b)


def _photo(
    store: Store,
    key: str,
    image: Image,
    annotations: list[Annotation],
    before: Photo | None,
    names: Mapping[int, str],
    category_ids: Mapping[int, int],
    positions: Mapping[int, int],
) -> Photo:
    extra = dict(image.extra)
    if extra.get("review") in REVIEW.values():
        del extra["review"]
    comment = extra.pop(COMMENT) if isinstance(extra.get(COMMENT), str) else ""
    own = {origin.annotation_id for origin in before.origins.values()} if before else set()
    image_id, position = (before.image_id, before.position) if before else store.new_place(image.id)
    photo = Photo(key, image.file_name, image.width, image.height, 1, "todo", image_id, position, comment, extra=extra)
    for number, annotation in enumerate(annotations, start=1):
        instance, origin = _instance(annotation, image, number, names[annotation.category_id])
        origin.annotation_id = store.new_annotation_id(annotation.id, own)
        origin.position, origin.category_id = positions[id(annotation)], category_ids.get(annotation.category_id, 0)
        photo.instances.append(instance)
        photo.origins[number] = origin
    return photo


def _instance(annotation: Annotation, image: Image, number: int, category: str) -> tuple[Instance, Origin]:
    """The instance and what the file said of it. A product of which only a box is known is its box, to be drawn."""
    stored = annotation.segmentation
    rle = _box(annotation, image) if stored is None else annotation_rle(annotation, image)
    plain = isinstance(stored, dict) and stored == rle
    extra = dict(annotation.extra)
    if extra.get("review") == "draft":
        del extra["review"]
    probabilities = extra.pop("probabilities") if isinstance(extra.get("probabilities"), dict) else None
    origin = Origin(
        annotation_id=annotation.id,
        mask=mask_digest(rle["counts"]),
        segmentation=UNSET if plain else _plain([] if stored is None else stored),
        bbox=_plain(annotation.bbox),
        area=_plain(annotation.area),
    )
    instance = Instance(
        id=number,
        category=category,
        segmentation=Rle(rle["size"], rle["counts"]),
        attributes=_plain(annotation.attributes),
        iscrowd=int(annotation.iscrowd),
        score=_plain(annotation.score),
        probabilities=_plain(probabilities),
        extra=_plain(extra),
    )
    return instance, origin


def _plain(value: Any) -> Any:
    """Without numpy's numbers, which the model's drafts hold."""
    return msgspec.to_builtins(
        value, enc_hook=lambda one: one.tolist() if isinstance(one, np.generic | np.ndarray) else one
    )


def _box(annotation: Annotation, image: Image) -> dict[str, Any]:
    x, y, w, h = annotation.bbox
    x0, y0 = max(0, round(x)), max(0, round(y))
    x1, y1 = min(image.width, round(x + w)), min(image.height, round(y + h))
    if x1 <= x0 or y1 <= y0:
        return masks.to_rle([], image.height, image.width)
    return masks.encode_crop(np.ones((y1 - y0, x1 - x0), bool), x0, y0, image.height, image.width)


def _join_head(store: Store, coco: CocoFile) -> dict[int, int]:
    """Add categories, schema and the rest of the head to the project; returns the file's category ids -> ours; those removed
    from the project have none."""
    project = store.project
    before = msgspec.json.encode(project)
    fresh = not project.categories and not store.index and not store.problems
    if fresh:
        project.categories = [{"id": c.id, "name": c.name} | c.extra for c in coco.categories]
        project.info, project.licenses, project.extra = coco.info, coco.licenses, coco.extra
        mapped = {c.id: c.id for c in coco.categories}
    else:
        mapped = _join_categories(project.categories, coco, project.removed)
    project.attribute_schema = _joined_schema(store.schema, coco.schema).to_json()
    if msgspec.json.encode(project) != before:
        store.write_project()
    return mapped


def _join_categories(ours: list[dict[str, Any]], coco: CocoFile, removed: list[str]) -> dict[int, int]:
    by_name = {category["name"]: category["id"] for category in reversed(ours)}
    mapped = {}
    for category in coco.categories:
        if category.name in removed:
            continue
        if category.name not in by_name:
            taken = set(by_name.values())
            id_ = category.id if category.id > 0 and category.id not in taken else max(taken, default=0) + 1
            ours.append({"id": id_, "name": category.name} | category.extra)
            by_name[category.name] = id_
        mapped[category.id] = by_name[category.name]
    return mapped


def _joined_schema(ours: Schema, theirs: Schema) -> Schema:
    joined = {attribute.name: attribute for attribute in ours}
    for attribute in theirs:
        known = joined.get(attribute.name)
        joined[attribute.name] = attribute if known is None else _joined(known, attribute)
    return Schema(joined.values())


def _joined(ours: Attribute, theirs: Attribute) -> Attribute:
    if ours.kind != theirs.kind:
        raise InputError(
            f"attribute {ours.name!r} is {ours.kind} in the project and {theirs.kind} in the file; rename one of them."
        )
    categories = None
    if ours.categories is not None and theirs.categories is not None:
        categories = tuple(dict.fromkeys((*ours.categories, *theirs.categories)))
    values = tuple(dict.fromkeys((*ours.values, *theirs.values)))
    return msgspec.structs.replace(ours, values=values, categories=categories)

"""A browser's edit, checked against the photo that it changes: never does a wrong one reach the store."""

from __future__ import annotations

import math
from collections.abc import Callable

from msgspec import UNSET

from ...datasets import masks
from ...datasets.errors import InputError
from ...datasets.schema import Schema, listed
from .records import Edit, Instance, InstanceEdit, Origin, Photo, Rle

# (instance id, where, message)
Defect = tuple[int, str, str]


def apply(photo: Photo, edit: Edit, categories: list[str], schema: Schema, new_id: Callable[[], int]) -> Photo:
    """The photo after an edit, or the photo itself where nothing changes; `photo` is left alone.

    new_id: gives the annotation ids of new instances. Raises InputError, one sentence, for masks that are none or of
    another size, ids that stand twice, categories and attributes that the schema lacks. What was wrong before the edit
    (a category since deleted from the schema) is let pass, so that a photo can be mended step by step; only to accept
    it all must be right.
    """
    before = {instance.id: instance for instance in photo.instances}
    instances = [_instance(one, before.get(one.id), photo) for one in edit.instances]
    if len({instance.id for instance in instances}) < len(instances):
        twice = next(i.id for n, i in enumerate(instances) if i.id in {j.id for j in instances[:n]})
        raise InputError(f"instance {twice} stands twice; expected each id once.")
    accepting = edit.state == "accepted" and photo.state != "accepted"
    known = set() if accepting else set(defects(photo.instances, categories, schema))
    for id_, where, message in defects(instances, categories, schema):
        if (id_, where, message) not in known and (edit.state == "accepted" or where != "segmentation"):
            first = "cannot be accepted: " if accepting else ""
            raise InputError(f"{first}instance {id_}, {where}: {message}.")
    if (edit.state, edit.comment, instances) == (photo.state, photo.comment, photo.instances):
        return photo
    origins = dict(photo.origins)
    for instance in instances:
        if instance.id not in origins:
            origins[instance.id] = Origin(new_id())
    return Photo(
        key=photo.key,
        file_name=photo.file_name,
        width=photo.width,
        height=photo.height,
        revision=photo.revision + 1,
        state=edit.state,
        image_id=photo.image_id,
        position=photo.position,
        comment=edit.comment,
        touched=True,
        instances=instances,
        origins=origins,
        extra=photo.extra,
    )


def _instance(edit: InstanceEdit, before: Instance | None, photo: Photo) -> Instance:
    kept = before or Instance(edit.id, "", edit.segmentation)
    if before is None or edit.segmentation != before.segmentation:
        check_mask(edit.segmentation, edit.id, photo)
    score = kept.score if edit.score is UNSET else edit.score
    if score is not None and not math.isfinite(score):
        raise InputError(f"instance {edit.id}, score: found {score}; expected a number or null.")
    return Instance(
        id=edit.id,
        category=edit.category,
        segmentation=edit.segmentation,
        attributes=edit.attributes,
        iscrowd=edit.iscrowd,
        score=score,
        probabilities=kept.probabilities if edit.probabilities is UNSET else edit.probabilities,
        extra=kept.extra if edit.extra is UNSET else edit.extra,
    )


def check_mask(rle: Rle, instance_id: int, photo: Photo) -> None:
    """Raises InputError for a mask of another size than the photo's, or whose runs do not add up."""
    if rle.size != [photo.height, photo.width]:
        raise InputError(
            f"instance {instance_id}: a mask of [height, width] = {rle.size} on a photo of "
            f"{[photo.height, photo.width]}; draw it on this photo."
        )
    try:
        masks.counts(rle.plain())
    except InputError as error:
        raise InputError(f"instance {instance_id}: {error}.") from error


def defects(instances: list[Instance], categories: list[str], schema: Schema) -> list[Defect]:
    """What keeps instances from being training data: an unknown category, attributes that do not fit the schema, an
    empty mask."""
    found: list[Defect] = []
    for instance in instances:
        if instance.category not in categories:
            known = listed(categories) if categories else "none yet"
            message = f"{instance.category!r} is not in the schema ({known}); choose another or add it there"
            found.append((instance.id, "category", message))
        for path, message in schema.defects(instance.attributes, instance.category):
            found.append((instance.id, f"attributes.{path}" if path else "attributes", message))
        if not masks.area(instance.segmentation.plain()):
            found.append((instance.id, "segmentation", "the mask is empty; draw it or delete the instance"))
    return found

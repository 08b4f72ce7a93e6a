"""Fashionpedia's form: COCO with ids from 0, a top-level list ``attributes`` and ``attribute_ids`` in the annotations.

Ids of categories and annotations are raised by one on the way in and lowered on the way out (annotation id 0 is never
matched by COCOeval); image ids stay. What the form cannot say stands under keys that its readers skip:
``attribute_schema`` at the top and ``segattr`` in annotations. A file from Fashionpedia has none of them and comes back
as it was.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from ..coco import Annotation, Category, CocoFile
from ..schema import Schema
from .mend import Shift, load, mend
from .notes import Notes, Track, untracked
from .ontology import IDS, Numbering, Place, applied, places, schema_of
from .side import OURS, taken

_MISSING = object()


def read(path: Path, notes: Notes, images_dir: Path | None = None, track: Track = untracked) -> CocoFile:
    """A Fashionpedia file as a file of ours. Raises InputError for what cannot be read."""
    coco = mend(load(path), notes, images_dir=images_dir, shift=Shift(categories=1, annotations=1), track=track)
    return from_fashionpedia(coco, notes, str(path))


def from_fashionpedia(coco: CocoFile, notes: Notes, where: str) -> CocoFile:
    """Turns ``attribute_ids`` into attributes. ``coco``: a file whose numbers are still where Fashionpedia has them, in
    ``extra``; it is used up. ``where`` opens the message of an InputError."""
    entries = coco.extra.pop("attributes", None) or []
    names = {category.id: category.name for category in coco.categories}
    ids = {id(a): _ids(a, notes) for a in coco.annotations}
    numbered = schema_of(entries, where)
    if len(coco.schema):
        schema = coco.schema
        place = places(schema) | {e["id"]: (str(e.get("supercategory")), e["name"]) for e in entries if e.get(OURS)}
    else:
        schema = applied(numbered, ((names[a.category_id], ids[id(a)]) for a in coco.annotations))
        place = places(schema)
    numbering = Numbering(schema, place)
    if kept := [entry for entry in entries if not entry.get(OURS)]:
        coco.extra["attributes"] = kept
    for annotation in coco.annotations:
        _read_attributes(annotation, ids[id(annotation)], numbering, names[annotation.category_id], notes)
    return replace(coco, schema=schema)


def _ids(annotation: Annotation, notes: Notes) -> list[int] | None:
    raw = annotation.extra.get(IDS)
    if raw is None or (isinstance(raw, list) and all(type(v) is int for v in raw)):
        return raw
    notes.add(
        "attribute_ids that are no list of ids (kept as they are, without a meaning)", f"annotation {annotation.id}"
    )
    return None


def _read_attributes(
    annotation: Annotation, ids: list[int] | None, numbering: Numbering, category: str, notes: Notes
) -> None:
    where = f"annotation {annotation.id}"
    raw = annotation.extra.pop(IDS, _MISSING)
    side = taken(annotation.extra).get("attributes")
    if unknown := [id_ for id_ in ids or () if id_ not in numbering.place]:
        notes.add("attribute ids that the file does not list (kept as attribute_ids)", f"{where}: {unknown[0]}")
    found: dict[str, Any] = numbering.attributes(ids, category)
    if isinstance(side, dict):
        if set(numbering.ids(side) or ()) == set(ids or ()).intersection(numbering.place):
            found = side
        else:
            notes.add("attributes changed in another tool (its attribute_ids count)", where)
            schema = numbering.schema
            found |= {name: v for name, v in side.items() if name in schema and schema[name].kind == "number"}
    annotation.attributes = found
    if raw is _MISSING or raw != (numbering.ids(found) or []):
        annotation.extra[IDS] = None if raw is _MISSING else raw


def to_fashionpedia(coco: CocoFile) -> CocoFile:
    """The file as Fashionpedia has it, ready for ``write_coco``; what was given is left alone."""
    entries = list(coco.extra.get("attributes") or ())
    numbered = schema_of(entries, "the file")
    known = {entry["id"] for entry in entries}
    place = {id_: at for id_, at in places(coco.schema).items() if id_ in known}
    added = _new_entries(coco.schema, set(place.values()), max(known, default=-1) + 1)
    place |= {entry["id"]: (entry["supercategory"], entry["name"]) for entry in added}
    numbering = Numbering(coco.schema, place)

    names = {category.id: category.name for category in coco.categories}
    ids = [_written_ids(annotation, numbering) for annotation in coco.annotations]
    rows = ((names[a.category_id], said) for a, said in zip(coco.annotations, ids, strict=True))
    plain = not added and applied(numbered, rows) == coco.schema
    annotations = []
    for annotation, said in zip(coco.annotations, ids, strict=True):
        extra = {key: value for key, value in annotation.extra.items() if key != IDS}
        if said is not None:
            extra[IDS] = said
        if numbering.attributes(said, names[annotation.category_id]) != annotation.attributes:
            extra[OURS] = {"attributes": annotation.attributes}
        annotations.append(
            msgspec.structs.replace(
                annotation, id=annotation.id - 1, category_id=annotation.category_id - 1, attributes={}, extra=extra
            )
        )
    return replace(
        coco,
        annotations=annotations,
        categories=[Category(c.id - 1, c.name, c.extra) for c in coco.categories],
        schema=Schema() if plain else coco.schema,
        extra=coco.extra | {"attributes": entries + added},
    )


def _new_entries(schema: Schema, numbered: set[Place], first: int) -> list[dict[str, Any]]:
    """Entries for the values that have no number yet."""
    new = [(a.name, v) for a in schema if a.kind != "number" for v in a.values if (a.name, v) not in numbered]
    return [
        {"id": id_, "name": value, "supercategory": name, "level": 0, OURS: True}
        for id_, (name, value) in enumerate(new, first)
    ]


def _written_ids(annotation: Annotation, numbering: Numbering) -> list[int] | None:
    """The ids in the order they came in where the attributes are still the same; None where the key was missing."""
    said = numbering.ids(annotation.attributes)
    kept = annotation.extra.get(IDS, _MISSING)
    if isinstance(kept, list) and all(type(id_) is int for id_ in kept):
        unknown = [id_ for id_ in kept if id_ not in numbering.place]
        same = set(said or ()) == set(kept) - set(unknown)
        return kept if same else (said or []) + unknown
    return None if kept is None and said is None else said or []

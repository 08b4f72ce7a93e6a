"""CVAT's COCO export ("COCO 1.0", written and read through Datumaro).

Its dialect: a mask is an uncompressed RLE with ``iscrowd: 1`` (there are no crowds in CVAT, so that is one product);
``attributes`` mix the label's own with CVAT's (``occluded``, ``rotation``, ``track_id``, ``keyframe``); an attribute has
one value (text, number, checkbox, select). So a *multi* value of ours is written as text, ``"navy,white"``, and read
back where the schema says *multi*: from the file, which carries ours as long as no other tool rewrote it, or given.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from ..coco import CocoFile
from ..errors import InputError
from ..schema import Attribute, Schema, shown
from .mend import load, mend
from .notes import Notes, Track, untracked
from .side import OURS, taken

BUILT_IN = ("occluded", "rotation", "track_id", "keyframe", "is_crowd")
_KEY = "cvat"  # the annotation key under which we keep CVAT's own attributes


def read(
    path: Path,
    notes: Notes,
    images_dir: Path | None = None,
    schema: Schema | None = None,
    track: Track = untracked,
) -> CocoFile:
    """A CVAT export as a file of ours. ``schema``: what its attributes mean; left out, the file's own, else guessed from
    the values (numbers, else one of the strings met). Raises InputError for what cannot be read."""
    document = load(path)
    own = Schema.from_json(document.data.pop("attribute_schema", None), f"{path}: attribute_schema")
    for row in document.annotations if isinstance(document.annotations, list) else ():
        if isinstance(row, dict) and isinstance(row.get("attributes"), dict):
            row[_KEY] = row.pop("attributes")  # not ours yet: the schema does not know CVAT's
    coco = mend(document, notes, images_dir=images_dir, track=track)
    return from_cvat(coco, notes, schema or own)


def from_cvat(coco: CocoFile, notes: Notes, schema: Schema) -> CocoFile:
    """Attributes and crowds as ours. ``coco``: with CVAT's attributes in ``extra["cvat"]``; it is used up. An empty
    schema is guessed."""
    rows = [taken(annotation.extra, _KEY) for annotation in coco.annotations]
    sides = [taken(taken(annotation.extra), "attributes") for annotation in coco.annotations]
    if not len(schema) and not any(sides):
        schema = _guessed(rows)
    built_in = [name for name in BUILT_IN if name not in schema]
    for annotation, row, side in zip(coco.annotations, rows, sides, strict=True):
        where = f"annotation {annotation.id}"
        if annotation.iscrowd and row.get("is_crowd") is not True:
            notes.add("masks with iscrowd 1 (CVAT's sign of a mask), read as one product each", where)
            annotation.iscrowd = 0
        own = {k: v for k, v in row.items() if k in built_in and k != "is_crowd" and (k, v) != ("occluded", False)}
        if own:
            annotation.extra[_KEY] = own
        row = {k: v for k, v in row.items() if k not in built_in}
        annotation.attributes = side if side and _flat(side) == row else _ours(row, schema, where)
    return replace(coco, schema=schema)


def _ours(row: dict[str, Any], schema: Schema, where: str) -> dict[str, Any]:
    if not len(schema):
        return row
    found = {}
    for name, value in row.items():
        if value is None or value == "":
            continue  # nobody said
        if name not in schema:
            raise InputError(
                f"{where}: attribute {name!r} is not in the schema; add it there with its kind and values."
            )
        found[name] = _parsed(value, schema[name], where)
    return found


def _parsed(value: Any, attribute: Attribute, where: str) -> Any:
    if attribute.kind == "number":
        try:
            return value if isinstance(value, int | float) and not isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            raise InputError(f"{where}: {attribute.name}: found {shown(value)}, expected a number.") from None
    if attribute.kind == "single":
        return _text(value)
    return value if isinstance(value, list) else _split(_text(value))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _split(text: str) -> list[str]:
    if text.startswith("["):
        try:
            return msgspec.json.decode(text, type=list[str])
        except msgspec.DecodeError:
            pass  # a value that begins with a bracket
    return [part.strip() for part in text.split(",") if part.strip()]


def _joined(values: list[str]) -> str:
    """As a person would type it, unless that could not be read back."""
    text = ",".join(values)
    return text if values and _split(text) == values else msgspec.json.encode(values).decode()


def _flat(attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        k: _joined(v) if isinstance(v, list) and all(isinstance(one, str) for one in v) else v
        for k, v in attributes.items()
    }


def _guessed(rows: Iterable[dict[str, Any]]) -> Schema:
    met: dict[str, dict[Any, None]] = {}
    for row in rows:
        for name, value in row.items():
            if name not in BUILT_IN and value is not None and value != "":
                number = isinstance(value, int | float) and not isinstance(value, bool)
                met.setdefault(name, {})[value if number else _text(value)] = None
    return Schema(
        Attribute(name, "single", tuple(dict.fromkeys(map(_text, values))))
        if any(isinstance(value, str) for value in values)
        else Attribute(name, "number")
        for name, values in met.items()
    )


def to_cvat(coco: CocoFile) -> CocoFile:
    """The file as CVAT reads it, ready for ``write_coco``; what was given is left alone. Crowds are told by an attribute
    ``is_crowd``, as Datumaro does. Raises InputError for an attribute of ours with the name of one of CVAT's."""
    for name in (attribute.name for attribute in coco.schema):
        if name in BUILT_IN:
            raise InputError(f"attribute {name!r} is one of CVAT's own; rename it in attribute_schema and annotations.")
    annotations = []
    for annotation in coco.annotations:
        extra = dict(annotation.extra)
        kept = extra.pop(_KEY, None)
        row = _flat(annotation.attributes)
        if annotation.attributes and not len(coco.schema):
            extra[OURS] = {"attributes": annotation.attributes}  # nothing else could tell a list from a text
        row |= {"occluded": False} | (kept if isinstance(kept, dict) else {})
        if annotation.iscrowd:
            row["is_crowd"] = True
        annotations.append(msgspec.structs.replace(annotation, attributes=row, extra=extra))
    return replace(coco, annotations=annotations)

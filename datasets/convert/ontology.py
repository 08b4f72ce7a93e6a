"""Numbered attributes (Fashionpedia, iMaterialist) as attributes of ours and back.

There, a file has a flat list ``{id, name, supercategory}`` and an annotation a list of ids. Here, every supercategory is
one *multi* attribute whose values are the names; its schema entry keeps the numbers as ``attribute_ids``, parallel to
``values``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from ..errors import InputError
from ..schema import Attribute, Schema, shown

IDS = "attribute_ids"
NO_SUPERCATEGORY = "attributes"

Place = tuple[str, str]  # of an attribute: its name, one of its values


def schema_of(entries: Any, where: str) -> Schema:
    """The schema of a decoded list of numbered attributes. A name that stands twice in one supercategory gets its id as
    a suffix. Raises InputError for what is no such list; ``where`` opens the message."""
    if not isinstance(entries, list):
        raise InputError(
            f"{where}: attributes: found {shown(entries)}, expected a list of {{id, name, supercategory}}."
        )
    groups: dict[str, dict[str, int]] = {}
    seen: set[int] = set()
    for i, entry in enumerate(entries):
        id_, name, group = _entry(entry, f"{where}: attributes[{i}]")
        if id_ in seen:
            raise InputError(f"{where}: attributes[{i}].id: found {id_} a second time; expected each id once.")
        seen.add(id_)
        values = groups.setdefault(group, {})
        values[f"{name} ({id_})" if name in values else name] = id_
    return Schema(
        Attribute(group, "multi", tuple(values), extra={IDS: list(values.values())}) for group, values in groups.items()
    )


def _entry(entry: Any, where: str) -> tuple[int, str, str]:
    if not isinstance(entry, dict) or type(entry.get("id")) is not int or not isinstance(entry.get("name"), str):
        raise InputError(f"{where}: found {shown(entry)}, expected an object {{id, name, supercategory}}.")
    group = entry.get("supercategory")
    return (
        entry["id"],
        entry["name"] or f"({entry['id']})",
        group if group and isinstance(group, str) else NO_SUPERCATEGORY,
    )


def places(schema: Schema) -> dict[int, Place]:
    """id -> (attribute, value) of the attributes that carry numbers."""
    found = {}
    for attribute in schema:
        numbers = attribute.extra.get(IDS)
        if attribute.kind != "number" and isinstance(numbers, list):
            found.update((id_, (attribute.name, value)) for id_, value in zip(numbers, attribute.values, strict=False))
    return found


def applied(schema: Schema, rows: Iterable[tuple[str, Sequence[int] | None]]) -> Schema:
    """The schema with the categories that each attribute applies to: those where the data use it. ``rows``: category
    name and attribute ids of every annotation."""
    place = places(schema)
    used: dict[str, dict[str, None]] = {attribute.name: {} for attribute in schema}
    for category, ids in rows:
        for id_ in ids or ():
            if id_ in place:
                used[place[id_][0]][category] = None
    return Schema(msgspec.structs.replace(a, categories=tuple(sorted(used[a.name]))) for a in schema)


@dataclass(frozen=True)
class Numbering:
    """A schema and the numbers of its values. ``place``: id -> (attribute, value)."""

    schema: Schema
    place: Mapping[int, Place]

    @cached_property
    def number(self) -> dict[Place, int]:
        return {at: id_ for id_, at in self.place.items()}

    @cached_property
    def _numbered(self) -> list[Attribute]:
        names = {name for name, _ in self.place.values()}
        return [attribute for attribute in self.schema if attribute.name in names]

    @cached_property
    def _single(self) -> set[str]:
        return {attribute.name for attribute in self.schema if attribute.kind == "single"}

    def attributes(self, ids: Sequence[int] | None, category: str) -> dict[str, str | list[str]]:
        """The attributes that a list of ids says. An annotator who was asked and gave no id of a supercategory said
        "none of these": an empty list. None (nobody was asked) says nothing. Unknown ids are skipped; of a *single*
        attribute the first value counts."""
        if ids is None:
            return {}
        found: dict[str, list[str]] = {a.name: [] for a in self._numbered if a.applies_to(category)}
        for id_ in ids:
            if id_ in self.place:
                name, value = self.place[id_]
                values = found.setdefault(name, [])
                if value not in values:
                    values.append(value)
        single = self._single
        if not single:
            return found
        return {k: v[0] if k in single else v for k, v in found.items() if v or k not in single}

    def ids(self, attributes: Mapping[str, Any]) -> list[int] | None:
        """The ids of an annotation's attributes, in the order of the schema; None where it says nothing at all."""
        said = [a.name for a in self.schema if a.name in attributes and a.kind != "number"]
        found = []
        for name in said:
            value = attributes[name]
            values = value if isinstance(value, list) else [value]
            found += [self.number[name, v] for v in values if isinstance(v, str) and (name, v) in self.number]
        return found if said else None

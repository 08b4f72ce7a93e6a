"""Which attributes an annotation may carry, their values, and the categories they apply to."""

import math
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from .errors import InputError

KINDS = ("single", "multi", "number")
_KEYS = ("name", "kind", "values", "unit", "categories")


class Attribute(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry of ``attribute_schema``.

    ``single``: one of ``values``. ``multi``: a list of ``values``, the dominant one first. ``number``: a finite number
    in ``unit``. ``categories``: the category names it applies to, None for all. ``extra``: keys we do not know, kept
    for a round trip.
    """

    name: str
    kind: Literal["single", "multi", "number"]
    values: tuple[str, ...] = ()
    unit: str | None = None
    categories: tuple[str, ...] | None = None
    extra: dict[str, Any] = {}

    @property
    def title(self) -> str:
        """The name, with the unit where there is one: "weight (g)"."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def applies_to(self, category_name: str) -> bool:
        """Whether an annotation of this category may carry the attribute."""
        return self.categories is None or category_name in self.categories

    def to_json(self) -> dict[str, Any]:
        """The entry as it stands in the file: only the keys that say something."""
        entry: dict[str, Any] = {"name": self.name, "kind": self.kind}
        if self.values:
            entry["values"] = list(self.values)
        if self.unit is not None:
            entry["unit"] = self.unit
        if self.categories is not None:
            entry["categories"] = list(self.categories)
        return entry | self.extra


class Schema:
    """The attributes of a file, in order, found by name. An empty schema says nothing: it checks nothing."""

    def __init__(self, attributes: Iterable[Attribute] = ()):
        """Raises InputError when two attributes share a name."""
        self._by_name: dict[str, Attribute] = {}
        for attribute in attributes:
            if attribute.name in self._by_name:
                raise InputError(f"attribute {attribute.name!r} stands twice in the schema; expected each name once.")
            self._by_name[attribute.name] = attribute

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        return tuple(self._by_name.values())

    def __iter__(self) -> Iterator[Attribute]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def __getitem__(self, name: str) -> Attribute:
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and self.attributes == other.attributes

    __hash__ = None  # values may hold unknown keys, and those may hold lists

    def __repr__(self) -> str:
        return f"Schema({list(self.attributes)!r})"

    @classmethod
    def from_json(cls, entries: Any, where: str) -> "Schema":
        """The schema of a decoded ``attribute_schema`` list.

        ``where`` opens the message of an error ("train.json: attribute_schema"). Raises InputError with the first
        defect; ``schema_defects`` lists them all.
        """
        for path, message in schema_defects(entries):
            raise InputError(f"{where}{path}: {message}")
        return cls(_entry(e) for e in entries or ())

    def to_json(self) -> list[dict[str, Any]]:
        """The list that stands in the file under ``attribute_schema``."""
        return [attribute.to_json() for attribute in self]

    def defects(self, attributes: Any, category: str | None) -> list[tuple[str, str]]:
        """What is wrong with an annotation's ``attributes``: pairs of sub-path (``color[1]``) and message.

        ``category``: its name, None where it is unknown and says nothing about what applies. An empty schema accepts
        whatever is an object. An empty multi list is fine: it says "none of these", as a missing one says "unknown".
        """
        if not isinstance(attributes, dict):
            return [("", f"found {shown(attributes)}, expected an object of attribute names and values")]
        if not self._by_name:
            return []
        found = []
        for name, value in attributes.items():
            attribute = self._by_name.get(name)
            if attribute is None:
                known = listed(self._by_name)
                found.append((name, f"is not in attribute_schema ({known}); add it there or remove it here"))
            elif category is not None and not attribute.applies_to(category):
                only = listed(attribute.categories or ())
                found.append((name, f"does not apply to category {category!r} (only to {only}); remove it"))
            elif wrong := _value_defects(attribute, value):
                found += [(name + path, message) for path, message in wrong]
        return found


def _value_defects(attribute: Attribute, value: Any) -> list[tuple[str, str]]:
    if value is None:
        return [("", "found null; leave an unknown attribute out")]
    if attribute.kind == "number":
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return [("", f"found {shown(value)}, expected a number{f' in {attribute.unit}' if attribute.unit else ''}")]
        return []
    if attribute.kind == "single":
        if isinstance(value, str) and value in attribute.values:
            return []
        return [("", f"found {shown(value)}, expected one of {listed(attribute.values)}")]
    if not isinstance(value, list):
        return [("", f"found {shown(value)}, expected a list such as {shown(list(attribute.values[:2]))}")]
    found = []
    for i, one in enumerate(value):
        if not isinstance(one, str) or one not in attribute.values:
            found.append((f"[{i}]", f"found {shown(one)}, expected one of {listed(attribute.values)}"))
        elif one in value[:i]:
            found.append((f"[{i}]", f"found {shown(one)} a second time; name each value once"))
    return found


def _entry(entry: dict[str, Any]) -> Attribute:
    categories = entry.get("categories")
    return Attribute(
        name=entry["name"],
        kind=entry["kind"],
        values=tuple(entry.get("values") or ()),
        unit=entry.get("unit"),
        categories=None if categories is None else tuple(categories),
        extra={k: v for k, v in entry.items() if k not in _KEYS},
    )


def schema_defects(entries: Any) -> list[tuple[str, str]]:
    """What is wrong with a decoded ``attribute_schema``: pairs of path (``[2].values``) and message. None is fine."""
    if entries is None:
        return []
    if not isinstance(entries, list):
        return [("", f"found {shown(entries)}, expected a list of {{name, kind, values}}")]
    found: list[tuple[str, str]] = []
    names: dict[str, int] = {}
    for i, entry in enumerate(entries):
        if not isinstance(entry, dict):
            found.append((f"[{i}]", f"found {shown(entry)}, expected an object {{name, kind, values}}"))
            continue
        found.extend((f"[{i}]{path}", message) for path, message in _entry_defects(entry))
        name = entry.get("name")
        if isinstance(name, str) and names.setdefault(name, i) != i:
            found.append((f"[{i}].name", f"found {shown(name)}, also in [{names[name]}]; expected each name once"))
    return found


def _entry_defects(entry: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    name, kind, unit = entry.get("name"), entry.get("kind"), entry.get("unit")
    if not isinstance(name, str) or not name:
        found.append((".name", f"found {shown(name)}, expected a name"))
    if not isinstance(kind, str) or kind not in KINDS:
        found.append((".kind", f"found {shown(kind)}, expected one of {listed(KINDS)}"))
    if unit is not None and not isinstance(unit, str):
        found.append((".unit", f"found {shown(unit)}, expected a string such as 'cm'"))
    for key in ("values", "categories"):
        found.extend(_name_list_defects(key, entry.get(key)))
    if kind in ("single", "multi") and not entry.get("values"):
        found.append((".values", f"is missing or empty; a {kind} attribute needs the list of its values"))
    if kind == "number" and entry.get("values"):
        found.append((".values", "a number attribute has no list of values; remove it or change the kind"))
    return found


def _name_list_defects(key: str, names: Any) -> list[tuple[str, str]]:
    if names is None:
        return []
    if not isinstance(names, list):
        return [(f".{key}", f"found {shown(names)}, expected a list of strings")]
    found = []
    for i, name in enumerate(names):
        if not isinstance(name, str) or not name:
            found.append((f".{key}[{i}]", f"found {shown(name)}, expected a string"))
        elif name in names[:i]:
            found.append((f".{key}[{i}]", f"found {shown(name)} a second time; name each once"))
    return found


def shown(value: Any, limit: int = 60) -> str:
    """A value as the reader sees it in the file: JSON where it can be, cut to ``limit`` characters."""
    try:
        text = msgspec.json.encode(value).decode()
    except (TypeError, ValueError, msgspec.MsgspecError):
        text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def listed(names: Iterable[str], limit: int = 13) -> str:
    """ "a, b, c" and how many more."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more

"""One catalog's categories in the words of another: jeans are pants of denim."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from .coco import Annotation, CocoFile
from .errors import InputError
from .schema import shown


class Meaning(msgspec.Struct, forbid_unknown_fields=True):
    """What a category of the one catalog is in the other; ``attributes`` are added to those that an annotation has."""

    category: str
    attributes: dict[str, Any] = {}


def read_meanings(path: Path) -> dict[str, Meaning | None]:
    """A JSON object: category -> the other catalog's category, or ``{"category": ..., "attributes": {...}}``, or null
    (left out). Raises InputError for anything else."""
    try:
        said = msgspec.json.decode(path.read_bytes(), type=dict[str, str | Meaning | None])
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected a JSON file") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f'{path}: {error}; expected an object like {{"jeans": {{"category": "pants", "attributes": '
            f'{{"material": "denim"}}}}, "coat": "outwear", "belt": null}}'
        ) from error
    return {name: Meaning(meaning) if isinstance(meaning, str) else meaning for name, meaning in said.items()}


def relabel(
    coco: CocoFile, meanings: Mapping[str, Meaning | None], like: CocoFile
) -> tuple[CocoFile, Counter[str], Counter[str]]:
    """``coco`` with the categories and the schema of ``like``.

    A category without an entry in ``meanings`` keeps its name where ``like`` has it too, and is left out where not; so
    are attributes that ``like``'s schema lacks or does not allow. All images stay. Returns the file, and how many
    annotations of each category became something and how many were left out. Raises InputError for a meaning whose
    category or attribute ``like`` does not have, and for an entry about a category that ``coco`` does not have.
    """
    ids = {category.name: category.id for category in like.categories}
    names = {category.id: category.name for category in coco.categories}
    for name, meaning in meanings.items():
        _check(name, meaning, names.values(), ids, like)
    kept: list[Annotation] = []
    became, dropped = Counter(), Counter()
    for annotation in coco.annotations:
        name = names[annotation.category_id]
        meaning = meanings.get(name, Meaning(name) if name in ids else None)
        if meaning is None:
            dropped[name] += 1
            continue
        became[name] += 1
        attributes = {
            key: value
            for key, value in (annotation.attributes | meaning.attributes).items()
            if key in like.schema and not like.schema.defects({key: value}, meaning.category)
        }
        changed = {"category_id": ids[meaning.category], "attributes": attributes}
        kept.append(msgspec.structs.replace(annotation, **changed))
    return replace(coco, annotations=kept, categories=like.categories, schema=like.schema), became, dropped


def _check(name: str, meaning: Meaning | None, known, ids: Mapping[str, int], like: CocoFile) -> None:
    if name not in known:
        raise InputError(
            f"the map speaks of the category {shown(name)}, which the file does not have: remove the entry"
        )
    if meaning is None:
        return
    if meaning.category not in ids:
        raise InputError(
            f"the map takes {shown(name)} to the category {shown(meaning.category)}; expected one of: {', '.join(ids)}"
        )
    for path, message in like.schema.defects(meaning.attributes, meaning.category):
        raise InputError(f"the map: {shown(name)}.attributes.{path}: {message}")

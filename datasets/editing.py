"""Work on whole COCO files: count, split, fold, sample, merge. Nothing here changes the files it is given."""

import posixpath
import random
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from .coco import Annotation, Category, CocoFile, Image
from .errors import InputError
from .schema import Attribute, Schema, shown


@dataclass(frozen=True)
class AttributeStats:
    """``values``: value -> how many annotations carry it, in the schema's order, zeros included. ``numbers``: the
    quantiles of a number attribute, in ``unit``. ``missing``: annotations it applies to that do not say."""

    kind: str
    missing: int
    values: dict[str, int]
    numbers: dict[str, float]
    unit: str | None = None


@dataclass(frozen=True)
class Stats:
    """``area_px`` and ``area_share`` (of the photo): quantiles over the annotations that are no crowd."""

    images: int
    images_without_annotation: int
    annotations: int
    crowds: int
    box_only: int
    categories: dict[str, int]
    attributes: dict[str, AttributeStats]
    area_px: dict[str, float]
    area_share: dict[str, float]


def stats(coco: CocoFile) -> Stats:
    """Count what a file holds. Where it has no schema, every attribute met is counted as it comes."""
    singles = [a for a in coco.annotations if not a.iscrowd]
    pixels = {image.id: image.width * image.height for image in coco.images}
    names = {c.id: c.name for c in coco.categories}
    per_category = dict.fromkeys(names, 0)
    for annotation in coco.annotations:
        per_category[annotation.category_id] += 1
    attributes = list(coco.schema) or _met(coco)
    return Stats(
        images=len(coco.images),
        images_without_annotation=len(pixels.keys() - {a.image_id for a in coco.annotations}),
        annotations=len(coco.annotations),
        crowds=len(coco.annotations) - len(singles),
        box_only=sum(a.segmentation is None for a in coco.annotations),
        categories={name: per_category[id_] for id_, name in names.items()},
        attributes={attribute.name: _attribute_stats(attribute, coco.annotations, names) for attribute in attributes},
        area_px=_quantiles([a.area for a in singles]),
        area_share=_quantiles([a.area / pixels[a.image_id] for a in singles]),
    )


def _met(coco: CocoFile) -> list[Attribute]:
    """The attributes of a file without a schema, as far as the annotations show."""
    found: dict[str, str] = {}
    for annotation in coco.annotations:
        for name, value in annotation.attributes.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            found.setdefault(name, "multi" if isinstance(value, list) else "number" if number else "single")
    return [Attribute(name, kind) for name, kind in found.items()]


def _attribute_stats(
    attribute: Attribute, annotations: Sequence[Annotation], names: Mapping[int, str]
) -> AttributeStats:
    counted: dict[str, int] = dict.fromkeys(attribute.values, 0)
    numbers: list[float] = []
    missing = 0
    for annotation in annotations:
        value = annotation.attributes.get(attribute.name)
        if value is None:
            missing += attribute.applies_to(names[annotation.category_id])
        elif attribute.kind == "number" and isinstance(value, int | float):
            numbers.append(float(value))
        else:
            for one in value if isinstance(value, list) else [value]:
                key = one if isinstance(one, str) else shown(one)
                counted[key] = counted.get(key, 0) + 1
    return AttributeStats(attribute.kind, missing, counted, _quantiles(numbers), attribute.unit)


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    marks = {"min": 0, "p10": 0.1, "p25": 0.25, "median": 0.5, "p75": 0.75, "p90": 0.9, "max": 1}
    return dict(zip(marks, np.quantile(np.asarray(values, float), list(marks.values())).tolist(), strict=True))


def split(
    coco: CocoFile, shares: Mapping[str, float], *, group_by: str | None = None, seed: int = 0
) -> dict[str, CocoFile]:
    """Cut a file into parts such that no group of photos is in two of them.

    ``shares``: name of the part -> its share of the images; they add up to 1. ``group_by``: a key of the images whose
    equal values belong together (the sender, the product); None: every photo by itself. Sizes and categories of the
    parts come as close to the shares as whole groups allow: the largest group first, each goes where it lessens the
    chi-square distance to the wanted counts most (after iterative stratification, Sechidis et al. 2011). Ids, the
    order of the file, categories and schema stay as they are. The same seed gives the same parts.

    Raises InputError when shares are no shares, an image lacks the key, or a part would be empty.
    """
    if abs(sum(shares.values()) - 1) > 1e-6 or min(shares.values()) <= 0:
        said = ", ".join(f"{name} {share:g}" for name, share in shares.items())
        raise InputError(f"found shares {said}; expected each above 0 and 1 in all.")
    groups = _groups(coco, group_by)
    part_of = _assign(coco, groups, list(shares.values()), seed)
    parts: dict[str, CocoFile] = {}
    for number, name in enumerate(shares):
        ids = {image.id for image in coco.images if part_of[image.id] == number}
        if not ids:
            raise InputError(
                f"{name} would be empty: {len(coco.images)} images in {len(groups)} groups cannot give it a share of "
                f"{shares[name]:g}; ask for a larger share, or group by a key with more values."
            )
        parts[name] = _part(coco, ids)
    return parts


def folds(coco: CocoFile, count: int, *, group_by: str | None = None, seed: int = 0) -> list[tuple[CocoFile, CocoFile]]:
    """Cut a file into ``count`` folds for cross-validation: (all the other folds, this fold) for each.

    Every photo is in exactly one second part, no group of photos in both parts of a fold. Groups, evenness and seed are
    those of `split`. Raises InputError for fewer than two folds, fewer groups than folds, or an image that lacks the key.
    """
    groups = _groups(coco, group_by)
    if not 2 <= count <= len(groups):
        raise InputError(
            f"{count} folds of {len(coco.images)} images in {len(groups)} groups; expected at least 2 folds, and no "
            "more than there are groups: ask for fewer, or group by a key with more values."
        )
    fold_of = _assign(coco, groups, [1 / count] * count, seed)
    inside = [{id_ for id_, fold in fold_of.items() if fold == number} for number in range(count)]
    return [(_part(coco, fold_of.keys() - ids), _part(coco, ids)) for ids in inside]


def sample(coco: CocoFile, images: int, *, group_by: str | None = None, seed: int = 0) -> CocoFile:
    """About ``images`` photos of a file, for the figures of a model against the number of photos that it learned from.

    Whole groups (as in `split`) in an order that the seed draws, as many as come nearest to ``images``, at least one:
    with one seed a smaller sample is contained in every larger one. Raises InputError for a number below 1 or above that
    of the file, or an image that lacks the key.
    """
    if not 1 <= images <= len(coco.images):
        raise InputError(f"a sample of {images} images; expected 1 to {len(coco.images)}, as many as the file has.")
    groups = _groups(coco, group_by)
    random.Random(seed).shuffle(groups)
    miss = np.abs(np.cumsum([len(group) for group in groups]) - images)
    return _part(coco, {image.id for group in groups[: int(miss.argmin()) + 1] for image in group})


def _part(coco: CocoFile, ids: Set[int]) -> CocoFile:
    """Some images with their annotations, in the order of the file."""
    return replace(
        coco,
        images=[image for image in coco.images if image.id in ids],
        annotations=[a for a in coco.annotations if a.image_id in ids],
    )


def _groups(coco: CocoFile, group_by: str | None) -> list[list[Image]]:
    if group_by is None:
        return [[image] for image in coco.images]
    groups: dict[bytes, list[Image]] = {}
    for i, image in enumerate(coco.images):
        value = image.file_name if group_by == "file_name" else image.extra.get(group_by)
        if value is None:
            others = ", ".join(image.extra) or "none"
            raise InputError(
                f"images[{i}] ({image.file_name}) has no {group_by!r}; expected it on every image to group by it (keys "
                f"of this image: {others}); add it or leave --group-by out."
            )
        groups.setdefault(msgspec.json.encode(value), []).append(image)
    return list(groups.values())


def _assign(coco: CocoFile, groups: list[list[Image]], shares: list[float], seed: int) -> dict[int, int]:
    """image id -> number of its part."""
    column = {category.id: k for k, category in enumerate(coco.categories)}
    counts = np.zeros((len(groups), len(column) + 1))
    counts[:, -1] = [len(group) for group in groups]
    row = {image.id: g for g, group in enumerate(groups) for image in group}
    for annotation in coco.annotations:
        counts[row[annotation.image_id], column[annotation.category_id]] += 1

    wanted = np.outer(shares, counts.sum(0)) + 1e-9
    weight = np.ones(counts.shape[1])
    weight[-1] = max(len(column), 1)  # the sizes matter as much as all categories together
    order = list(range(len(groups)))
    random.Random(seed).shuffle(order)
    order.sort(key=lambda g: -counts[g, -1])
    now = np.zeros_like(wanted)
    part_of: dict[int, int] = {}
    for g in order:
        add = counts[g]
        worse = ((2 * (now - wanted) + add) * add / wanted) @ weight  # change of sum((now - wanted)^2 / wanted)
        part = int(worse.argmin())
        now[part] += add
        part_of.update((image.id, part) for image in groups[g])
    return part_of


def rebase(coco: CocoFile, old_dir: Path, new_dir: Path) -> CocoFile | None:
    """The file with its ``file_name`` relative to ``new_dir`` in place of ``old_dir``; None where that cannot be done
    without ``../``, which no reader accepts."""
    old, new = old_dir.resolve(), new_dir.resolve()
    if old == new:
        return coco
    images = []
    for image in coco.images:
        name = posixpath.relpath((old / image.file_name).as_posix(), new.as_posix())
        if name.startswith("../"):
            return None
        images.append(msgspec.structs.replace(image, file_name=name))
    return replace(coco, images=images)


def merge(files: Mapping[str, CocoFile]) -> CocoFile:
    """One file of many. ``files``: a name for messages (the path) -> the file.

    All ids are given anew, from 1 on. Categories are joined by name, licences by content. Attributes of the same name
    must have the same kind and unit; their values and categories are joined. Raises InputError that names the conflict:
    such an attribute, a photo (``file_name``) that is in two files, an annotation that the joined schema does not
    allow, a top-level key with different contents.
    """
    _refuse_same_photo(files)
    schema = _join_schemas(files)
    licenses: list[Any] = []
    categories: dict[str, Category] = {}
    merged = CocoFile(schema=schema, info=_join_info(files), licenses=licenses)
    for where, coco in files.items():
        for key, value in coco.extra.items():
            if merged.extra.setdefault(key, value) != value:
                mend = "make them equal or remove one"
                raise InputError(f"{where}: top-level key {key!r} is not what it is in the files before it; {mend}.")
        new_license = _join_licenses(licenses, coco.licenses)
        new_category = {c.id: _join_category(categories, c) for c in coco.categories}
        new_image: dict[int, int] = {}
        for image in coco.images:
            new_image[image.id] = len(merged.images) + 1
            extra = image.extra
            if isinstance(extra.get("license"), int):
                extra = extra | {"license": new_license.get(extra["license"], extra["license"])}
            merged.images.append(msgspec.structs.replace(image, id=new_image[image.id], extra=extra))
        for i, a in enumerate(coco.annotations):
            category = new_category[a.category_id]
            _refuse_attributes(schema, a, category.name, f"{where}: annotations[{i}]")
            ids = {"id": len(merged.annotations) + 1, "image_id": new_image[a.image_id], "category_id": category.id}
            merged.annotations.append(msgspec.structs.replace(a, **ids))
    merged.categories = list(categories.values())
    return merged


def _refuse_same_photo(files: Mapping[str, CocoFile]) -> None:
    seen: dict[str, str] = {}
    for where, coco in files.items():
        for i, image in enumerate(coco.images):
            name = posixpath.normpath(image.file_name)
            if seen.setdefault(name, where) != where:
                raise InputError(
                    f"{where}: images[{i}].file_name {shown(image.file_name)} is also in {seen[name]}; expected each "
                    "photo in one file: remove it from one of them."
                )


def _refuse_attributes(schema: Schema, annotation: Annotation, category: str, where: str) -> None:
    for path, message in schema.defects(annotation.attributes, category):
        raise InputError(f"{where}.attributes.{path}: {message} (schema of all files together).")


def _join_schemas(files: Mapping[str, CocoFile]) -> Schema:
    joined: dict[str, Attribute] = {}
    first: dict[str, str] = {}
    for where, coco in files.items():
        for new in coco.schema:
            old = joined.get(new.name)
            if old is None:
                joined[new.name], first[new.name] = new, where
                continue
            for key in ("kind", "unit"):
                if getattr(old, key) != getattr(new, key):
                    raise InputError(
                        f"{where}: attribute {new.name!r} has {key} {shown(getattr(new, key))}, in {first[new.name]} "
                        f"{shown(getattr(old, key))}; expected the same: rename or convert one of them."
                    )
            everywhere = old.categories is None or new.categories is None
            joined[new.name] = msgspec.structs.replace(
                old,
                values=_union(old.values, new.values),
                categories=None if everywhere else _union(old.categories, new.categories),
                extra={**new.extra, **old.extra},
            )
    return Schema(joined.values())


def _union(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(a + b))


def _join_category(categories: dict[str, Category], new: Category) -> Category:
    old = categories.get(new.name)
    id_ = len(categories) + 1 if old is None else old.id
    extra = new.extra if old is None else {**new.extra, **old.extra}
    categories[new.name] = Category(id_, new.name, extra)
    return categories[new.name]


def _join_licenses(licenses: list[Any], new: Sequence[Any]) -> dict[int, int]:
    """Add what is new to ``licenses``, ids from 1; returns old id -> new id."""
    known = [_without_id(one) for one in licenses]
    ids: dict[int, int] = {}
    for one in new:
        content = _without_id(one)
        if content not in known:
            known.append(content)
            licenses.append({"id": len(known)} | content if isinstance(one, dict) else one)
        if isinstance(one, dict) and isinstance(one.get("id"), int):
            ids[one["id"]] = known.index(content) + 1
    return ids


def _without_id(license: Any) -> Any:
    return {k: v for k, v in license.items() if k != "id"} if isinstance(license, dict) else license


def _join_info(files: Mapping[str, CocoFile]) -> dict[str, Any]:
    """What all files say alike; of many files also which."""
    infos = [coco.info for coco in files.values()]
    same = {key: value for key, value in infos[0].items() if all(info.get(key) == value for info in infos)}
    names = ", ".join(Path(where).name for where in files)
    return same if len(infos) == 1 else same | {"description": f"merged from {names}"}

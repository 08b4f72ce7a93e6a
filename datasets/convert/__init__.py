"""Datasets of other makers as COCO files of ours, and ours as other tools read them. One module a format.

Every reader gives a file that ``read_coco`` accepts and counts what it had to change or leave out in ``Notes``; whatever
ours can say that a target cannot stands in it under keys its readers skip, so that reading it back gives the same file.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from ..coco import CocoFile, write_coco
from ..errors import InputError
from ..schema import Schema
from .notes import Notes, Track, untracked

__all__ = ["Notes", "Source", "Target", "present", "read", "write"]

Source = Literal["ccp", "fashionpedia", "modanet", "imaterialist", "deepfashion2", "cvat", "labelstudio", "coco"]
Target = Literal["coco", "fashionpedia", "cvat", "labelstudio"]


def read(
    source: Path,
    form: Source,
    *,
    images: Path | None = None,
    labels: Path | None = None,
    schema: Schema | None = None,
    notes: Notes | None = None,
    track: Track = untracked,
) -> tuple[CocoFile, Path]:
    """The file of ours that ``source`` is, and the folder that its ``file_name`` are relative to.

    ``source``: a JSON or CSV; of ccp and deepfashion2 a folder. ``images``: the folder of the photos, where it is not
    the one that the format has by convention. ``labels``: label_list.mat (ccp), label_descriptions.json (imaterialist).
    ``schema``: what the attributes of a CVAT export mean. ``notes`` collects what was changed. Raises InputError.
    """
    notes = Notes() if notes is None else notes
    if labels is not None and form not in ("ccp", "imaterialist"):
        raise InputError(f"{form} has no file of label names; expected --labels with ccp or imaterialist only.")
    if schema is not None and form != "cvat":
        raise InputError(f"{form} says itself what its attributes mean; expected --schema with cvat only.")
    if images is not None and not images.is_dir():
        raise InputError(f"{images} is not a folder; expected the folder of the photos.")
    coco = _read(source, form, images, labels, schema, notes, track)
    if not coco.images:
        raise InputError(f"{source}: no photo is left; expected a file of {form} with one at least{_why(notes)}.")
    _check_attributes(coco, source)
    return coco, images or _photos_of(source, form)


def _read(
    source: Path,
    form: Source,
    images: Path | None,
    labels: Path | None,
    schema: Schema | None,
    notes: Notes,
    track: Track,
) -> CocoFile:
    beside = images or source.parent
    match form:
        case "ccp":
            from . import ccp

            return ccp.read(source, notes, images, labels, track)
        case "deepfashion2":
            from . import deepfashion2

            return deepfashion2.read(source, notes, images, track)
        case "imaterialist":
            from . import imaterialist

            return imaterialist.read(source, notes, labels, track)
        case "fashionpedia":
            from . import fashionpedia

            return fashionpedia.read(source, notes, beside, track)
        case "modanet":
            from . import modanet

            return modanet.read(source, notes, beside, track)
        case "cvat":
            from . import cvat

            return cvat.read(source, notes, beside, schema, track)
        case "labelstudio":
            from . import labelstudio

            return labelstudio.read(source, notes, beside, track)
        case "coco":
            from . import mend

            return mend.mend(mend.load(source), notes, images_dir=beside, track=track)
    raise InputError(f"no format {form!r}; expected one of {', '.join(get_args(Source))}.")


def _why(notes: Notes) -> str:
    return "".join(f"; {line}" for line in notes.lines())


def _photos_of(source: Path, form: Source) -> Path:
    if form == "ccp":
        from .ccp import photos_of
    elif form == "deepfashion2":
        from .deepfashion2 import photos_of
    else:
        return source.parent
    return photos_of(source)


def _check_attributes(coco: CocoFile, source: Path) -> None:
    names = {category.id: category.name for category in coco.categories}
    for annotation in coco.annotations:
        for path, message in coco.schema.defects(annotation.attributes, names[annotation.category_id]):
            where = (
                f"annotation {annotation.id}: attributes.{path}" if path else f"annotation {annotation.id}: attributes"
            )
            raise InputError(f"{source}: {where}: {message}.")


def present(coco: CocoFile, images_dir: Path, notes: Notes, *, drop: bool) -> CocoFile:
    """Counts photos that are not in ``images_dir``; with ``drop`` the file comes back without them."""
    missing = [image for image in coco.images if not (images_dir / image.file_name).is_file()]
    for image in missing:
        what = "left out" if drop else "kept"
        notes.add(f"photos that are not in {images_dir} ({what})", image.file_name)
    if not drop or not missing:
        return coco
    gone = {image.id for image in missing}
    return replace(
        coco,
        images=[image for image in coco.images if image.id not in gone],
        annotations=[a for a in coco.annotations if a.image_id not in gone],
    )


def write(path: Path, coco: CocoFile, form: Target, *, notes: Notes | None = None) -> None:
    """Write a file of ours in a form that another tool reads. Raises InputError for what the form cannot hold."""
    notes = Notes() if notes is None else notes
    write_coco(path, converted(coco, form, notes))


def converted(coco: CocoFile, form: Target, notes: Notes) -> CocoFile:
    """The file with ids, attributes and masks as the form has them; what was given is left alone."""
    match form:
        case "fashionpedia":
            from .fashionpedia import to_fashionpedia

            return to_fashionpedia(coco)
        case "cvat":
            from .cvat import to_cvat

            return to_cvat(coco)
        case "labelstudio":
            from .labelstudio import to_labelstudio

            return to_labelstudio(coco, notes)
        case "coco":
            return coco
    raise InputError(f"no format {form!r}; expected one of {', '.join(get_args(Target))}.")

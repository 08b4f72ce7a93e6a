"""`segattr annotate`: drafts for a person to correct, in the file that training reads."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from .. import __version__
from ..datasets.coco import Annotation, Category, CocoFile, Image, read_coco, write_coco
from ..datasets.errors import InputError
from ..datasets.schema import Schema
from .extraction import OutsideError, Photo, Scan, process, scan
from .extraction_log import Journal, PhotoError, Record

if TYPE_CHECKING:
    from ..attributes.predictor import Predictor


@dataclass(frozen=True)
class AnnotateConfig:
    """Pre-annotate photos: the model's masks and attributes as drafts in a COCO file.

    Photos that --out lists already keep what it says about them; only new ones are added, they and their annotations
    marked "review": "draft". The file is for `segattr train --data` and any COCO tool. (An editor in the browser is
    not part of this version: correct the drafts with the annotation tool you use.)
    """

    photos: tyro.conf.Positional[tuple[Path, ...]]
    """Folders (searched recursively) or image files."""
    out: Path
    """The COCO file to write or to add to, e.g. catalog.json."""
    images: Path | None = None
    """Folder that file names in --out start from; by default the folder of --out."""
    model: str = "default"
    """A bundle: "default" or its folder."""
    segmenter: str | None = None
    """Where the masks come from: "semantic", "instance" (Mask R-CNN, for photos of several products) or the folder of
    another bundle. By default the model's semantic part if it has one, else its instance part."""
    heads: Literal["crops", "roi"] = "crops"
    """What reads the attributes: crops, the attribute network; roi, heads on the features of the Mask R-CNN that finds
    the masks, where it was trained with --heads roi."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs."""
    batch_size: int = 16
    """Photos a step."""
    min_prob: float = 0.0
    """Leave out what the model is less sure of: attribute values below it stay unknown, and products whose category is
    below it are not drafted. The rest teaches another model, or leaves the doubtful fields for a person to fill in."""
    restart: bool = False
    """Throw away what an interrupted run has done (never what --out holds)."""


@dataclass
class Drafts:
    """What one run added. dropped: how many values of which attribute the file's schema has no place for."""

    photos: int = 0
    products: int = 0
    dropped: Counter[str] | None = None
    errors: list[tuple[str, PhotoError]] | None = None


def find_new(config: AnnotateConfig) -> Scan:
    """The photos that --out does not list yet. Raises InputError for whatever the user can mend."""
    if config.batch_size < 1:
        raise InputError(f"--batch-size {config.batch_size}: expected a whole number of at least 1.")
    if not 0 <= config.min_prob <= 1:
        raise InputError(f"--min-prob {config.min_prob}: expected 0 to 1.")
    if config.out.is_dir():
        raise InputError(f"--out {config.out}: is a folder; expected a file such as {config.out / 'catalog.json'}.")
    root = Path(os.path.abspath(config.images or config.out.parent))
    try:
        found = scan(config.photos, root)
    except OutsideError as error:
        mend = "give the folder that holds all photos with --images, here and later in `segattr train`"
        raise InputError(f"{error} Put --out beside the photos, or {mend}.") from error
    if config.out.exists():
        listed = {os.path.normpath(image.file_name) for image in read_coco(config.out).images}
        found.photos = [photo for photo in found.photos if os.path.normpath(photo.file_name) not in listed]
    return found


def annotate(config: AnnotateConfig, found: Scan, predictor: Predictor) -> Drafts:
    """Run the model over the new photos and add its drafts to --out. What an interrupted run has done is used."""
    folder = Path(os.path.abspath(config.out)).parent / ".segattr" / f"annotate-{config.out.name}"
    identity = {"segattr": __version__, "model": predictor.fingerprint}
    with Journal(folder, identity, restart=config.restart) as journal:
        process(found.photos, predictor, journal, batch_size=config.batch_size, what="annotate")
        done = [photo for photo in found.photos if journal.error(str(photo.path)) is None]
        records = zip(done, journal.read(str(photo.path) for photo in done), strict=True)
        # Read only now: a person may have worked on the file while the model ran.
        coco = read_coco(config.out) if config.out.exists() else CocoFile(info={"description": "segattr drafts"})
        drafts = add_drafts(coco, records, list(predictor.categories), predictor.schema, config.min_prob)
        write_coco(config.out, coco)
        journal.mark_complete()
        failed = [(p.file_name, error) for p in found.photos if (error := journal.error(str(p.path))) is not None]
        drafts.errors = [*found.errors, *failed]
    shutil.rmtree(folder, ignore_errors=True)  # --out says from now on what is done
    with suppress(OSError):  # an extraction's journal may lie beside
        folder.parent.rmdir()
    return drafts


def add_drafts(
    coco: CocoFile,
    records: Iterator[tuple[Photo, Record]],
    categories: list[str],
    schema: Schema,
    min_prob: float = 0.0,
) -> Drafts:
    """Append photos and draft annotations to `coco` in place; nothing that is there is changed.

    Ids go on after the highest. A category that the file lacks is added. The file's own schema rules: a value it has
    no place for is left out and counted; a file that says nothing about attributes takes the model's schema.
    """
    drafts = Drafts(dropped=Counter(), errors=[])
    if not len(coco.schema) and not any(annotation.attributes for annotation in coco.annotations):
        coco.schema = schema
    ids = {category.name: category.id for category in coco.categories}
    for name in categories:
        if name not in ids:
            ids[name] = max(ids.values(), default=0) + 1
            coco.categories.append(Category(ids[name], name))
    listed = {os.path.normpath(image.file_name) for image in coco.images}
    image_id = max((image.id for image in coco.images), default=0)
    annotation_id = max((annotation.id for annotation in coco.annotations), default=0)
    for photo, record in records:
        if photo.file_name in listed:
            continue  # came into the file while the model ran
        image_id += 1
        coco.images.append(Image(image_id, photo.file_name, record.width, record.height, {"review": "draft"}))
        for item in record.items:
            name = categories[item["category_id"] - 1]
            if item["probabilities"]["category"].get(name, 0.0) < min_prob:
                continue
            annotation_id += 1
            item["attributes"] = _sure(item["attributes"], item["probabilities"], min_prob)
            item["attributes"] = _fitting(item["attributes"], name, coco.schema, drafts.dropped)
            coco.annotations.append(_draft(item, annotation_id, image_id, ids[name]))
            drafts.products += 1
        drafts.photos += 1
    return drafts


def _sure(attributes: dict[str, Any], probabilities: dict[str, dict], min_prob: float) -> dict[str, Any]:
    """The attributes whose value, or of a multi one whose every value, is at least that probable; numbers as they are."""

    def least(name: str, value: Any) -> float:
        values = value if isinstance(value, list) else [value]
        return min((probabilities[name].get(one, 0.0) for one in values), default=1.0) if name in probabilities else 1.0

    return {name: value for name, value in attributes.items() if least(name, value) >= min_prob}


def _draft(item: dict[str, Any], annotation_id: int, image_id: int, category_id: int) -> Annotation:
    return Annotation(
        id=annotation_id,
        image_id=image_id,
        category_id=category_id,
        segmentation=item["segmentation"],
        bbox=item["bbox"],
        area=item["area"],
        iscrowd=0,
        attributes=item["attributes"],
        score=item["score"],
        extra={"review": "draft", "probabilities": item["probabilities"], "palette": item["palette"]},
    )


def _fitting(attributes: dict[str, Any], category: str, schema: Schema, dropped: Counter[str]) -> dict[str, Any]:
    """The attributes that the schema has a place for."""
    fitting = {}
    for name, value in attributes.items():
        if isinstance(value, list):
            kept = [one for one in value if not schema.defects({name: [one]}, category)]
            dropped[name] += len(value) - len(kept)
            if kept:
                fitting[name] = kept
        elif schema.defects({name: value}, category):
            dropped[name] += 1
        else:
            fitting[name] = value
    return fitting


def run(config: AnnotateConfig) -> int:
    """The verb: find what is new, load the model only then, add the drafts. Returns 0."""
    found = find_new(config)
    for file, error in found.errors:
        print(f"segattr: skipped {file}: {error.message}", file=sys.stderr)
    if not found.photos:
        print(f"{config.out}: lists all these photos already; nothing to add.")
        return 0
    from ..attributes.predictor import load_predictor

    skipped = len(found.errors)
    drafts = annotate(config, found, load_predictor(config.model, config.device, config.segmenter, config.heads))
    for file, error in drafts.errors[skipped:]:
        print(f"segattr: skipped {file}: {error.message}", file=sys.stderr)
    dropped = ", ".join(f"{name} ({count})" for name, count in drafts.dropped.items() if count)
    if dropped:
        print(f"segattr: note: values that the schema of {config.out} lacks were left out: {dropped}", file=sys.stderr)
    print(f"{config.out}: {drafts.photos} photos and {drafts.products} draft annotations added")
    return 0


def main(argv: list[str]) -> int:
    """Parse the flags and run."""
    return run(tyro.cli(AnnotateConfig, args=argv, prog="segattr annotate"))

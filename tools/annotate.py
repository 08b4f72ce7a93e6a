"""`segattr annotate`: drafts for a person to correct in the editor, and the file that training reads."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from .. import __version__
from ..datasets.coco import Annotation, Category, CocoFile, Image, read_coco, write_coco
from ..datasets.errors import InputError
from ..datasets.images import read_size
from ..datasets.schema import Schema
from .editor.importing import import_coco
from .editor.store import Store, exists, work_folder
from .extraction import OutsideError, Photo, Scan, process, scan
from .extraction_log import Journal, PhotoError, Record

if TYPE_CHECKING:
    from ..attributes.predictor import Predictor


@dataclass(frozen=True)
class AnnotateConfig:
    """Pre-annotate photos (the model's masks and attributes as drafts), then correct and accept them in the browser.

    The editor keeps its work in a folder beside --out (catalog.json.work), one file a photo, saved at every edit. --out
    is the COCO file that `segattr train --data` takes: the accepted photos, written when the editor ends or on its
    button. A photo that anybody worked on is never drafted again.
    """

    photos: tyro.conf.Positional[tuple[Path, ...]]
    """Folders (searched recursively) or image files. None: go on with what --out or --from lists."""
    out: Path
    """The COCO file to write or to add to, e.g. catalog.json."""
    from_: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """A COCO file to begin with: its photos come in as drafts to correct."""
    images: Path | None = None
    """Folder that file names start from; by default the project's, else the folder of --out, or of --from."""
    schema: Path | None = None
    """A JSON file whose categories and attribute_schema become the project's (a COCO file will do)."""
    model: str = "default"
    """A bundle: "default" or its folder; "none": photos come in without drafts."""
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
    redraft: bool = False
    """Draft those of PHOTOS again that nobody has edited, accepted or rejected: after training a better model."""
    serve: bool = True
    """Open the editor; --no-serve only pre-annotates (and, before there is an editor's project, writes the drafts to
    --out)."""
    browser: bool = True
    """Open the page in the browser; --no-browser only prints its address."""
    export: Literal["accepted", "all"] | None = None
    """What --out holds in the end: the accepted photos, or all, with what is not accepted marked "review". By default
    accepted when the editor ends, and --out as it is with --no-serve."""
    host: str = "127.0.0.1"
    """The address to listen on. Any other than this machine's own needs a token, which is then made."""
    port: int = 8765
    """The port; 0: any free one."""
    token: str | None = None
    """What a browser must show, once, in the address that is printed."""


@dataclass
class Drafts:
    """What one run added. dropped: how many values of which attribute the file's schema has no place for."""

    photos: int = 0
    products: int = 0
    dropped: Counter[str] | None = None
    errors: list[tuple[str, PhotoError]] | None = None


def check(config: AnnotateConfig) -> None:
    """Raises InputError for flags that cannot be right."""
    if config.batch_size < 1:
        raise InputError(f"--batch-size {config.batch_size}: expected a whole number of at least 1.")
    if not 0 <= config.min_prob <= 1:
        raise InputError(f"--min-prob {config.min_prob}: expected 0 to 1.")
    if config.out.is_dir():
        raise InputError(f"--out {config.out}: is a folder; expected a file such as {config.out / 'catalog.json'}.")


def find_new(config: AnnotateConfig, store: Store | None = None) -> Scan:
    """The photos that the project, or without one --out, does not list yet. Raises InputError for whatever the user can
    mend."""
    check(config)
    root = store.images if store else Path(os.path.abspath(config.images or config.out.parent))
    try:
        found = scan(config.photos, root)
    except OutsideError as error:
        mend = "give the folder that holds all photos with --images, here and later in `segattr train`"
        raise InputError(f"{error} Put --out beside the photos, or {mend}.") from error
    if store:
        found.photos = [photo for photo in found.photos if store.wants_draft(photo.file_name, config.redraft)]
    elif config.out.exists():
        listed = {os.path.normpath(image.file_name) for image in read_coco(config.out).images}
        found.photos = [photo for photo in found.photos if os.path.normpath(photo.file_name) not in listed]
    return found


def annotate(config: AnnotateConfig, found: Scan, predictor: Predictor, store: Store | None = None) -> Drafts:
    """Run the model over the new photos and add its drafts to the project, or without one to --out. What an interrupted
    run has done is used."""
    folder = Path(os.path.abspath(config.out)).parent / ".segattr" / f"annotate-{config.out.name}"
    identity = {"segattr": __version__, "model": predictor.fingerprint}
    with Journal(folder, identity, restart=config.restart) as journal:
        process(found.photos, predictor, journal, batch_size=config.batch_size, what="annotate")
        done = [photo for photo in found.photos if journal.error(str(photo.path)) is None]
        records = zip(done, journal.read(str(photo.path) for photo in done), strict=True)
        failed = [(p, error) for p in found.photos if (error := journal.error(str(p.path))) is not None]
        if store is None:
            # Read only now: a person may have worked on the file while the model ran.
            coco = read_coco(config.out) if config.out.exists() else CocoFile(info={"description": "segattr drafts"})
            if not len(coco.schema) and not any(annotation.attributes for annotation in coco.annotations):
                coco.schema = predictor.schema
        else:
            coco = drafts_head(store, predictor.schema)
        drafts = add_drafts(coco, records, list(predictor.categories), config.min_prob)
        if store is None:
            write_coco(config.out, coco)
        else:
            add_without_drafts(coco, [photo for photo, error in failed if error.kind == "model"])
            import_coco(store, coco, existing="redraft" if config.redraft else "keep")
        journal.mark_complete()
        drafts.errors = [*found.errors, *((photo.file_name, error) for photo, error in failed)]
    shutil.rmtree(folder, ignore_errors=True)  # --out or the project says from now on what is done
    with suppress(OSError):  # an extraction's journal may lie beside
        folder.parent.rmdir()
    return drafts


def drafts_head(store: Store, schema: Schema) -> CocoFile:
    """A file without photos with the project's categories and schema; the model's where the project says nothing."""
    says = len(store.schema) or any(one.values for one in store.index.values())
    categories = {c["name"]: Category(c["id"], c["name"]) for c in reversed(store.project.categories)}
    info = {"description": "segattr drafts"}
    return CocoFile(categories=list(categories.values())[::-1], schema=store.schema if says else schema, info=info)


def add_without_drafts(coco: CocoFile, photos: Iterable[Photo]) -> list[tuple[str, PhotoError]]:
    """Append photos alone to `coco` in place, to be annotated from nothing. Returns those that cannot be read."""
    errors = []
    for photo in photos:
        try:
            height, width = read_size(photo.path)
        except InputError as error:
            errors.append((photo.file_name, PhotoError("photo", str(error))))
            continue
        image_id = max((image.id for image in coco.images[-1:]), default=0) + 1
        coco.images.append(Image(image_id, photo.file_name, width, height, {"review": "todo"}))
    return errors


def add_drafts(
    coco: CocoFile,
    records: Iterator[tuple[Photo, Record]],
    categories: list[str],
    min_prob: float = 0.0,
) -> Drafts:
    """Append photos and draft annotations to `coco` in place; nothing that is there is changed.

    Ids go on after the highest. A category that the file lacks is added. The file's own schema rules: a value it has
    no place for is left out and counted.
    """
    drafts = Drafts(dropped=Counter(), errors=[])
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
    """The verb: draft what is new, then the editor. Returns 0."""
    check(config)
    if not config.serve and config.from_ is None and not exists(work_folder(config.out)):
        pre_annotate(config)
        return 0
    from .editor import server, session

    address = server.checked(server.Address(config.host, config.port, config.token)) if config.serve else None
    begun = exists(work_folder(config.out))
    if not (begun or config.photos or config.from_ or config.out.exists()):
        raise InputError(
            f"{config.out}: there is nothing to annotate yet; name folders of photos, or a file with --from."
        )
    with session.open_store(config.out, config.images, config.from_) as store:
        session.take_in(store, config.out, config.from_, config.images)
        if config.schema is not None:
            session.set_schema(store, config.schema)
        if config.photos:
            pre_annotate(config, store)
            if not config.out.exists():
                session.export(store, config.out, "all")
        session.tell(store)
        if address is not None:
            server.serve(store, config.out, address, browser=config.browser)
        if address is not None or config.export:
            session.export(store, config.out, config.export or "accepted")
    return 0


def pre_annotate(config: AnnotateConfig, store: Store | None = None) -> None:
    """Find what is new, load the model only then, add the drafts and say what was done."""
    found = find_new(config, store)
    where = config.out if store is None else store.project.title
    _tell_skipped(found.errors)
    if not found.photos:
        print(f"{where}: lists all these photos already; nothing to add.")
        return
    if config.model == "none":
        add_plain(config, found, store)
        return
    from ..attributes.predictor import load_predictor

    skipped = len(found.errors)
    predictor = load_predictor(config.model, config.device, config.segmenter, config.heads)
    drafts = annotate(config, found, predictor, store)
    _tell_skipped(drafts.errors[skipped:])
    dropped = ", ".join(f"{name} ({count})" for name, count in drafts.dropped.items() if count)
    if dropped:
        print(f"segattr: note: values that the schema of {where} lacks were left out: {dropped}", file=sys.stderr)
    print(f"{where}: {drafts.photos} photos and {drafts.products} draft annotations added")


def add_plain(config: AnnotateConfig, found: Scan, store: Store | None) -> None:
    """The photos without drafts."""
    if store is None:
        raise InputError("--model none adds photos for the editor; leave --no-serve out.")
    coco = drafts_head(store, Schema())
    _tell_skipped(add_without_drafts(coco, found.photos))
    print(f"{store.project.title}: {import_coco(store, coco).added} photos added")


def _tell_skipped(errors: Iterable[tuple[str, PhotoError]]) -> None:
    for file, error in errors:
        print(f"segattr: skipped {file}: {error.message}", file=sys.stderr)


def main(argv: list[str]) -> int:
    """Parse the flags and run."""
    return run(tyro.cli(AnnotateConfig, args=argv, prog="segattr annotate"))

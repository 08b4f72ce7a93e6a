"""What the editor keeps of a photo and of a project, and what a browser may send."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ...datasets.errors import InputError

State = Literal["todo", "drafted", "accepted", "rejected"]
STATES: tuple[str, ...] = get_args(State)
MAX_INSTANCES = 10_000
FORMAT = "segattr-annotate"
VERSION = 1

Natural = Annotated[int, Meta(ge=1)]
Comment = Annotated[str, Meta(max_length=10_000)]


class Rle(msgspec.Struct, frozen=True):
    """A mask: ``size`` [height, width] in px, ``counts`` COCO's compressed runs."""

    size: Annotated[list[int], Meta(min_length=2, max_length=2)]
    counts: str

    def plain(self) -> dict[str, Any]:
        """The dict that ``datasets.masks`` takes."""
        return {"size": list(self.size), "counts": self.counts}


class Instance(msgspec.Struct):
    """One product of a photo. ``id``: unique in the photo. ``extra``: the annotation's keys that we do not know."""

    id: Natural
    category: str
    segmentation: Rle
    attributes: dict[str, Any] = {}
    iscrowd: Literal[0, 1] = 0
    score: int | float | None = None
    probabilities: dict[str, Any] | None = None
    extra: dict[str, Any] = {}


class Origin(msgspec.Struct, omit_defaults=True):
    """What a COCO file said of an instance, written back as it was while its mask is the same.

    ``position``: place among the file's annotations, None for an instance drawn here. ``mask``: digest of the counts
    that the rest describes. ``segmentation``: polygons, an uncompressed RLE, or [] for only a box; UNSET where it is
    the compressed RLE itself. ``bbox`` xywh and ``area`` in px.
    """

    annotation_id: int
    category_id: int = 0
    position: int | None = None
    mask: str = ""
    segmentation: list | dict | UnsetType = UNSET
    bbox: list | None = None
    area: int | float | None = None


class Photo(msgspec.Struct):
    """A photo's file in the store. ``width``, ``height`` in px after EXIF. ``revision`` goes up with every change.
    ``touched``: a person has changed it. ``origins``: instance id -> what the COCO file said, also of deleted ones, so
    that undo brings them back whole. ``extra``: the image's keys that we do not know."""

    key: str
    file_name: str
    width: Natural
    height: Natural
    revision: Natural
    state: State
    image_id: int
    position: int
    comment: str = ""
    touched: bool = False
    instances: list[Instance] = []
    origins: dict[int, Origin] = {}
    extra: dict[str, Any] = {}


class InstanceEdit(msgspec.Struct):
    """An instance as a browser sends it; what it leaves out stays as it is."""

    id: Annotated[int, Meta(ge=1, le=2**53)]
    category: str
    segmentation: Rle
    attributes: dict[str, Any] = {}
    iscrowd: Literal[0, 1] = 0
    score: int | float | UnsetType | None = UNSET
    probabilities: dict[str, Any] | UnsetType | None = UNSET
    extra: dict[str, Any] | UnsetType = UNSET


class Edit(msgspec.Struct):
    """A photo as a browser sends it, based on ``revision``. Its other keys (name, size, ...) are not the browser's."""

    revision: Natural
    state: State
    instances: Annotated[list[InstanceEdit], Meta(max_length=MAX_INSTANCES)]
    comment: Comment = ""


class Project(msgspec.Struct):
    """The store's ``project.json``: what a COCO file holds beside photos and annotations.

    ``id``: tells projects apart in a browser. ``images``: the image folder, from the store's folder. ``seen``: SHA-256
    of --out when it was last read or written here. ``removed``: categories that a person took out of the schema, which
    no file and no model brings back.
    """

    id: str
    title: str
    images: str
    format: str = FORMAT
    version: int = VERSION
    categories: list[dict[str, Any]] = []
    attribute_schema: list[dict[str, Any]] = []
    info: dict[str, Any] = {}
    licenses: list[Any] = []
    extra: dict[str, Any] = {}
    seen: str = ""
    removed: list[str] = []

    @property
    def category_names(self) -> list[str]:
        return list(dict.fromkeys(category["name"] for category in self.categories))


class Summary(msgspec.Struct):
    """What the queue needs to know of a photo. ``confidence``: see ``confidence``. ``values``: attribute -> values."""

    key: str
    file_name: str
    state: str
    instances: int
    confidence: float | None
    comment: str
    categories: frozenset[str]
    values: dict[str, frozenset[Any]]
    touched: bool


def photo_key(file_name: str, occurrence: int = 1) -> str:
    """The name of a photo's file in the store and in URLs: readable ASCII, then a digest of the whole name, so that no
    name can leave a folder, be too long, or meet another one on a file system that folds case or accents.

    ``occurrence``: of a COCO file that lists a photo several times, which of them.
    """
    plain = unicodedata.normalize("NFKD", file_name.rsplit("/", 1)[-1].rsplit(".", 1)[0]).encode("ascii", "ignore")
    slug = re.sub(r"[^a-z0-9]+", "-", plain.decode().lower()).strip("-")[:32]
    told = file_name if occurrence == 1 else f"{file_name}\0{occurrence}"
    code = hashlib.blake2b(told.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{slug}-{code}" if slug else code


def mask_digest(counts: str) -> str:
    """Short name of a mask's counts, to see whether it changed."""
    return hashlib.blake2b(counts.encode(), digest_size=8).hexdigest()


def confidence(photo: Photo) -> float | None:
    """The least that the model was sure of in a photo, 0..1: over its instances the least of the score, the category's
    probability and that of each attribute value. What a person chose instead of the model has none and does not
    count. None where nothing has a probability."""
    least = [p for instance in photo.instances for p in _probabilities(instance)]
    return min(least, default=None)


def _probabilities(instance: Instance):
    if instance.score is not None:
        yield float(instance.score)
    said = instance.probabilities or {}
    chosen = {"category": instance.category} | instance.attributes
    for name, values in chosen.items():
        table = said.get(name)
        for value in values if isinstance(values, list) else [values]:
            p = table.get(value) if isinstance(table, dict) and isinstance(value, str) else None
            if isinstance(p, int | float):
                yield float(p)


def summary(photo: Photo) -> Summary:
    """The queue's line of a photo."""
    values: dict[str, set] = {}
    for instance in photo.instances:
        for name, value in instance.attributes.items():
            found = values.setdefault(name, set())
            found.update(v for v in (value if isinstance(value, list) else [value]) if isinstance(v, str | int | float))
    return Summary(
        photo.key,
        photo.file_name,
        photo.state,
        len(photo.instances),
        confidence(photo),
        photo.comment,
        frozenset(instance.category for instance in photo.instances),
        {name: frozenset(found) for name, found in values.items()},
        photo.touched,
    )


def wire(photo: Photo, missing: bool) -> dict[str, Any]:
    """The record as a browser gets it."""
    return {
        "key": photo.key,
        "file_name": photo.file_name,
        "width": photo.width,
        "height": photo.height,
        "revision": photo.revision,
        "state": photo.state,
        "comment": photo.comment,
        "touched": photo.touched,
        "instances": photo.instances,
        "missing": missing,
    }


class CorruptError(InputError):
    """A file of the store that is not what was written there."""


class UnknownError(InputError):
    """No such photo in the store."""


class GoneError(InputError):
    """The photo is no longer where it was, or not of the size that its masks were drawn at."""


class FullError(InputError):
    """The disk (or the user's share of it) is full. Nothing was written."""


class StaleError(InputError):
    """An edit of a revision that is not the current one. ``current``: the photo as it is."""

    def __init__(self, message: str, current: Photo):
        super().__init__(message)
        self.current = current

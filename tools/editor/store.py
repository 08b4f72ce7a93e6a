"""The editor's store: a folder with one JSON file a photo. A photo's file is replaced whole at every edit, so a process
killed at any moment leaves the edit before or the edit after; a file that is not what was written is reported and kept.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ...datasets.errors import InputError
from ...datasets.files import write_atomic
from ...datasets.images import read_size
from ...datasets.paths import resolve_image
from ...datasets.schema import Schema, schema_defects
from . import edits
from .records import (
    FORMAT,
    VERSION,
    CorruptError,
    Edit,
    FullError,
    GoneError,
    Photo,
    Project,
    StaleError,
    Summary,
    UnknownError,
    photo_key,
    summary,
)

T = TypeVar("T")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def work_folder(out: Path) -> Path:
    """Where the store of an --out file lies: beside it."""
    return Path(os.path.abspath(f"{out}.work"))


def exists(folder: Path) -> bool:
    """Whether a store was begun in `folder`."""
    return (folder / "project.json").exists()


class Store:
    """The photos of a project, held by one process at a time. Use as a context manager.

    ``index``: key -> Summary of every photo that can be read. ``problems``: key -> why a file cannot be read. Methods
    may be called from several threads.
    """

    def __init__(self, folder: Path, *, images: Path | None = None):
        """Open the store in `folder`, or begin one.

        images: the image folder; for a store that exists, only where the photos have moved. Raises InputError where
        the folder cannot be written, another process holds it, or project.json is broken.
        """
        self.folder = folder
        self._lock = threading.RLock()
        self._hold()
        try:
            self._open(images)
        except BaseException:
            self._held.close()
            raise

    def _hold(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "photos").mkdir(exist_ok=True)
            self._held = open(self.folder / "lock", "ab")  # noqa: SIM115 - held until close()
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot be written to ({error.strerror}); choose another --out."
            ) from error
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel frees it when the process dies
        except BlockingIOError as error:
            self._held.close()
            raise InputError(
                f"{self.folder}: another segattr annotate works there; use its page, or end it first."
            ) from error
        except OSError:
            pass  # a file system without locks: go on unguarded rather than not at all

    def _open(self, images: Path | None) -> None:
        for folder in (self.folder, self.folder / "photos"):
            for left in folder.glob(".*.tmp"):  # of a process killed while it wrote
                left.unlink(missing_ok=True)
        self._begun = not exists(self.folder)
        if not self._begun:
            self.project = _project(self.folder / "project.json")
        else:
            if any((self.folder / "photos").glob("*.json")):
                raise InputError(
                    f"{self.folder}: holds photos but no project.json; restore that file, or move the folder away."
                )
            root = Path(os.path.abspath(images or self.folder.parent))
            title = self.folder.name.removesuffix(".work")
            self.project = Project(secrets.token_hex(8), title, os.path.relpath(root, self.folder))
            self.write_project()
        if images is not None and Path(os.path.abspath(images)) != self.images:
            self.project.images = os.path.relpath(os.path.abspath(images), self.folder)
            self.write_project()
        self.index: dict[str, Summary] = {}
        self.problems: dict[str, str] = {}
        self._image_ids: set[int] = set()
        self._annotation_ids: set[int] = set()
        self._last_image_id = self._last_annotation_id = 0
        self._position = self.annotation_position = 0
        for path in sorted((self.folder / "photos").glob("*.json")):
            try:
                self._note(self._read(path.stem))
            except CorruptError as error:
                self.problems[path.stem] = str(error)

    @property
    def images(self) -> Path:
        """The image folder."""
        return Path(os.path.normpath(self.folder / self.project.images))

    @property
    def schema(self) -> Schema:
        return Schema.from_json(self.project.attribute_schema, str(self.folder / "project.json"))

    def _note(self, photo: Photo) -> None:
        self.index[photo.key] = summary(photo)
        self.problems.pop(photo.key, None)
        self._image_ids.add(photo.image_id)
        self._last_image_id = max(self._last_image_id, photo.image_id)
        self._position = max(self._position, photo.position + 1)
        for origin in photo.origins.values():
            self._take(origin.annotation_id)
            if origin.position is not None:
                self.annotation_position = max(self.annotation_position, origin.position + 1)

    def _read(self, key: str) -> Photo:
        path = self.folder / "photos" / f"{key}.json"
        photo = _decoded(path, Photo)
        wrong = None if photo.key == key else f"it holds the photo {photo.key}"
        try:
            for instance in photo.instances:
                edits.check_mask(instance.segmentation, instance.id, photo)
        except InputError as error:
            wrong = str(error)
        if wrong:
            raise CorruptError(f"{path}: {wrong}; restore the file, or delete it to begin this photo anew.")
        return photo

    def has(self, key: str) -> bool:
        """Whether the store holds a file of this photo, readable or not."""
        return key in self.index or key in self.problems

    def photo(self, key: str) -> Photo:
        """Raises UnknownError, CorruptError."""
        if not self.has(key):
            raise UnknownError(f"no photo {key!r} in {self.project.title}; reload the queue.")
        try:
            photo = self._read(key)
        except CorruptError as error:
            self.problems[key] = str(error)
            self.index.pop(key, None)
            raise
        if key in self.problems:  # mended by hand meanwhile
            self._note(photo)
        return photo

    def photos(self) -> Iterator[Photo]:
        """Every photo, by its place. Raises CorruptError for the first that cannot be read."""
        for problem in self.problems.values():
            raise CorruptError(problem)
        yield from sorted((self.photo(key) for key in list(self.index)), key=lambda photo: photo.position)

    def save(self, key: str, edit: Edit) -> Photo:
        """Apply a browser's edit and write the photo; returns it as it is now.

        Raises StaleError for an edit of another revision (but an edit that came through and is sent a second time is
        no mistake), GoneError where the photo vanished or changed size (a state or comment can still be changed),
        FullError, InputError for what is wrong with the edit.
        """
        with self._lock:
            photo = self.photo(key)
            names, schema = self.project.category_names, self.schema
            if edit.revision != photo.revision:
                repeated = edit.revision == photo.revision - 1 and self._same(photo, edit, names, schema)
                if repeated:
                    return photo
                raise StaleError(
                    f"{photo.file_name} was changed elsewhere (it is at revision {photo.revision}, this edit is of "
                    f"{edit.revision}); take that version, or overwrite it with yours.",
                    photo,
                )
            after = edits.apply(photo, edit, names, schema, self.new_annotation_id)
            if after is photo:
                return photo
            drawn = after.instances != photo.instances or after.state == "accepted"
            if drawn and (why := self.fault(photo)):
                raise GoneError(why)
            self.write(after)
            return after

    def _same(self, photo: Photo, edit: Edit, names: list[str], schema: Schema) -> bool:
        with suppress(InputError):
            return edits.apply(photo, edit, names, schema, lambda: 0) is photo
        return False

    def new_annotation_id(self, wanted: int = 0, own: Iterable[int] = ()) -> int:
        """`wanted` where it is free or among `own`, the ids of the photo itself; else the next one."""
        with self._lock:
            free = wanted > 0 and (wanted not in self._annotation_ids or wanted in own)
            id_ = wanted if free else self._last_annotation_id + 1
            self._take(id_)
            return id_

    def _take(self, annotation_id: int) -> None:
        self._annotation_ids.add(annotation_id)
        self._last_annotation_id = max(self._last_annotation_id, annotation_id)

    def new_place(self, wanted: int) -> tuple[int, int]:
        """(image id, position) for a photo that comes in; the id is `wanted` where that is free."""
        free = wanted > 0 and wanted not in self._image_ids
        return wanted if free else self._last_image_id + 1, self._position

    def fault(self, photo: Photo) -> str | None:
        """Why masks cannot be drawn on the photo: it vanished, left the folder, is broken or of another size now."""
        try:
            path = self.path(photo)
            height, width = read_size(path)
        except InputError as error:
            return str(error)
        if (height, width) != (photo.height, photo.width):
            return (
                f"{photo.file_name} is {width} x {height} px now, its masks were drawn at {photo.width} x {photo.height}: "
                f"restore that photo, or delete {self.folder.name}/photos/{photo.key}.json to begin it anew."
            )
        return None

    def path(self, photo: Photo) -> Path:
        """Where the photo lies, inside the image folder. Raises GoneError."""
        try:
            path = resolve_image(self.images, photo.file_name)
        except InputError as error:
            raise GoneError(str(error)) from error
        if not path.is_file():
            raise GoneError(f"{photo.file_name} is not in the image folder any more: put it back, or reject the photo.")
        return path

    def write(self, photo: Photo) -> None:
        """Write a photo's file and the index. Raises FullError, InputError."""
        with self._lock:
            self._write(self.folder / "photos" / f"{photo.key}.json", photo)
            self._note(photo)

    def write_project(self) -> None:
        """Raises FullError, InputError."""
        with self._lock:
            self._write(self.folder / "project.json", self.project)

    def _write(self, path: Path, record: Any) -> None:
        with writing(path):
            write_atomic(path, msgspec.json.encode(record))

    def query(self, wanted: Callable[[Summary], bool], order: str = "name") -> list[Summary]:
        """The photos that `wanted` takes. order: "name", or "uncertain": the least confidence first, photos without a
        figure before them."""
        found = [one for one in list(self.index.values()) if wanted(one)]
        found.sort(key=lambda one: one.file_name)
        if order == "uncertain":
            found.sort(key=lambda one: -1.0 if one.confidence is None else one.confidence)
        return found

    def wants_draft(self, file_name: str, again: bool = False) -> bool:
        """Whether the model should draft a photo: one that the store lacks; `again`: also one that nobody edited,
        accepted or rejected."""
        key = photo_key(os.path.normpath(file_name))
        if not self.has(key):
            return True
        known = self.index.get(key)
        return again and known is not None and not known.touched and known.state in ("todo", "drafted")

    def close(self) -> None:
        self._held.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is not None and self._begun and not self.index and not self.problems:
            shutil.rmtree(self.folder, ignore_errors=True)  # it failed before anything came in: as if never begun
        self.close()


def _project(path: Path) -> Project:
    project = _decoded(path, Project)
    wrong = None
    if (project.format, project.version) != (FORMAT, VERSION):
        wrong = f"found format {project.format} {project.version}, expected {FORMAT} {VERSION}"
    names = [category.get("name") for category in project.categories]
    ids = [category.get("id") for category in project.categories]
    if not all(isinstance(name, str) and name for name in names):
        wrong = "categories: expected a name on each"
    elif not all(type(id_) is int and id_ > 0 for id_ in ids) or len(set(ids)) < len(ids):
        wrong = "categories: expected an id of 1 or more on each, and each once"
    for where, message in schema_defects(project.attribute_schema):
        wrong = f"attribute_schema{where}: {message}"
    if wrong:
        raise CorruptError(f"{path}: {wrong}; correct or restore the file.")
    return project


def _decoded(path: Path, kind: type[T]) -> T:
    """The record in a file. Raises CorruptError for what is no record, UnknownError for no file."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        raise UnknownError(f"{path} has vanished; restore it.") from None
    except OSError as error:
        raise CorruptError(f"{path}: cannot be read ({error.strerror}); restore the file.") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptError(
            f"{path}: not what was written there ({error}); restore the file, or delete it to begin anew."
        ) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A failure to write, as an error for the person at the page."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise FullError(f"the disk is full and {path.name} was not saved; make room and save again.") from error
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); nothing was saved.") from error

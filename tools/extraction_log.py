"""The journal of a long extraction: what is done survives `kill -9`, and a second start goes on from there.

One file of JSON lines: a header (what the results depend on), then one line a photo. A photo counts as done only when
the last line of its batch is there, so a run that was killed starts again at a batch boundary, forms the same batches
and gives the same bytes: a network's last bits depend on who shares its batch.
"""

import base64
import fcntl
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..datasets.errors import InputError
from ..datasets.files import write_atomic

NAME = "journal.jsonl"
FORMAT = 1


class PhotoError(msgspec.Struct, frozen=True):
    """Why a photo has no result. kind: "photo" (cannot be read or decoded), "name" or "model" (the network failed)."""

    kind: str
    message: str


class Record(msgspec.Struct, omit_defaults=True):
    """One photo's line. file: absolute path; size in bytes and mtime_ns tell whether the photo is still the same.

    width, height: px. items: COCO annotations without ids. embeddings: base64 of float32, one an item, or empty.
    left: how many lines of the same batch follow.
    """

    file: str
    size: int
    mtime_ns: int
    width: int = 0
    height: int = 0
    items: list[dict[str, Any]] = []
    embeddings: list[str] = []
    error: PhotoError | None = None
    left: int = 0


class _Head(msgspec.Struct):
    """The part of a line that the index needs; the rest is skipped unparsed."""

    file: str = ""
    size: int = 0
    mtime_ns: int = 0
    error: PhotoError | None = None
    left: int = 0
    complete: bool = False


class _Entry(msgspec.Struct, frozen=True):
    offset: int
    length: int
    size: int
    mtime_ns: int
    error: PhotoError | None


class Journal:
    """Append-only store of `Record`s in one folder, held by one process at a time. Use as a context manager."""

    def __init__(self, folder: Path, identity: dict[str, Any], *, restart: bool = False, owner: str = "--out"):
        """Open or begin the journal in `folder`.

        identity: everything the results depend on. A journal of another identity is replaced when its run was
        complete; an unfinished one raises InputError unless `restart`. owner: the flag that chose the folder, named in
        the message. Raises InputError also where the folder cannot be written or another process works in it.
        """
        self.path = folder / NAME
        self._index: dict[str, _Entry] = {}
        self.complete = False
        self.resumed = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = open(folder / "lock", "ab")  # noqa: SIM115 - held until close()
        except OSError as error:
            raise InputError(
                f"{folder.parent}: cannot be written to ({error.strerror}); choose another {owner}."
            ) from error
        try:
            self._take_lock(folder, owner)
            self._open(identity, restart, owner)
        except BaseException:
            self._lock.close()
            raise

    def _take_lock(self, folder: Path, owner: str) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel frees it when the process dies
        except BlockingIOError as error:
            raise InputError(
                f"{folder.parent}: another segattr is at work there; wait for it or choose another {owner}."
            ) from error
        except OSError:
            pass  # a file system without locks: go on unguarded rather than not at all

    def _open(self, identity: dict[str, Any], restart: bool, owner: str) -> None:
        header = msgspec.json.encode({"segattr_journal": FORMAT, "identity": identity}) + b"\n"
        try:
            keep = not restart and self.path.exists() and self._load(header, owner)
            if not keep:
                self._index.clear()
                write_atomic(self.path, header)
                self._end = len(header)
            self.resumed = bool(self._index)
            self._file = open(self.path, "r+b", buffering=0)  # noqa: SIM115 - held until close()
            self._file.truncate(self._end)  # a torn last batch goes
            self._file.seek(self._end)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be opened ({error.strerror}); choose another {owner}.") from error

    def _load(self, header: bytes, owner: str) -> bool:
        """Index the lines of whole batches. False: nothing here can be used, begin afresh."""
        decoder = msgspec.json.Decoder(_Head)
        with open(self.path, "rb") as lines:
            found = lines.readline()
            self._end = offset = len(found)
            batch: list[tuple[str, _Entry]] = []
            for line in lines:
                try:
                    head = decoder.decode(line) if line.endswith(b"\n") else None
                except msgspec.MsgspecError:
                    head = None
                if head is None:
                    break
                if head.file:
                    entry = _Entry(offset, len(line), head.size, head.mtime_ns, head.error)
                    batch.append((head.file, entry))
                offset += len(line)
                if head.left == 0:
                    self._index.update(batch)
                    batch.clear()
                    self._end = offset
                    self.complete = head.complete
        if found == header:
            return True
        if not self.complete and self._index:
            raise InputError(
                f"{self.path.parent.parent}: holds an unfinished run of {len(self._index)} photos by another model or "
                f"version of segattr; finish that one, choose another {owner}, or start over with --restart."
            )
        self.complete = False
        return False

    def has(self, file: str, size: int, mtime_ns: int) -> bool:
        """Whether this very photo, unchanged, is done.

        Failures are not for ever: what the model failed on is tried again by every start, a photo that could not be
        read by every start after a complete run.
        """
        entry = self._index.get(file)
        if entry is None or (entry.size, entry.mtime_ns) != (size, mtime_ns):
            return False
        return entry.error is None or (entry.error.kind == "photo" and not self.complete)

    def error(self, file: str) -> PhotoError | None:
        """Why a photo of the journal has no result; None for one that has, or that is not there."""
        entry = self._index.get(file)
        return entry.error if entry else None

    def append(self, records: Sequence[Record]) -> None:
        """Add one batch. It is in the hands of the operating system when this returns."""
        for index, record in enumerate(records):
            record.left = len(records) - 1 - index
        lines = [msgspec.json.encode(record) + b"\n" for record in records]
        self._write(b"".join(lines))
        for record, line in zip(records, lines, strict=True):
            entry = _Entry(self._end, len(line), record.size, record.mtime_ns, record.error)
            self._index[record.file] = entry
            self._end += len(line)
        self.complete = False

    def mark_complete(self) -> None:
        """Note that the run and its files are finished."""
        if not self.complete:
            line = b'{"complete":true}\n'
            self._write(line)
            self._end += len(line)
            self.complete = True

    def _write(self, data: bytes) -> None:
        try:
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be written ({error.strerror}); what is done so far is kept: mend that and start "
                "the same command again."
            ) from error

    def read(self, files: Iterable[str]):
        """Yield the Record of each of `files` (all done), parsed one at a time."""
        decoder = msgspec.json.Decoder(Record)
        with open(self.path, "rb") as handle:
            for file in files:
                entry = self._index[file]
                handle.seek(entry.offset)
                yield decoder.decode(handle.read(entry.length))

    def close(self) -> None:
        self._file.close()
        self._lock.close()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def pack_embedding(embedding: np.ndarray) -> str:
    """float32 (d,) -> base64 of its little-endian bytes."""
    return base64.b64encode(np.ascontiguousarray(embedding, "<f4").tobytes()).decode("ascii")


def unpack_embedding(text: str) -> np.ndarray:
    """The inverse of `pack_embedding`: float32 (d,)."""
    return np.frombuffer(base64.b64decode(text), "<f4")


def journal_folder(out: Path) -> Path:
    """Where the journal of an output folder lies."""
    return Path(os.path.abspath(out)) / ".segattr"

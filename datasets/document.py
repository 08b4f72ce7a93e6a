"""A COCO file before it is believed: its JSON, with every annotation as a dict whose segmentation is still text."""

import gc
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from .errors import InputError

_TOP = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_ROW = _TOP
_ANY = msgspec.json.Decoder()


@dataclass
class Document:
    """``data``: the top level, without ``annotations``, decoded. ``annotations``: one dict per annotation, decoded but
    for ``segmentation``, a ``msgspec.Raw`` (so a polygon costs its text, not a list of floats); what is not a list of
    objects in the file stands there as it is. ``problems``: (JSON path, message) of what is not JSON.
    """

    path: Path
    data: dict[str, Any] = field(default_factory=dict)
    annotations: Any = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    readable: bool = True


@contextmanager
def gc_paused() -> Iterator[None]:
    """No garbage collection inside: making millions of objects that all live on is most of the cost of reading."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            if not gc.get_freeze_count():
                # All of them count as old at once; else the next collection walks through every one.
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def read_document(path: str | Path) -> Document:
    """Read and decode. Raises InputError only where there is no file to read; every other defect is in ``problems``."""
    return decode_document(Path(path), read_text(path))


def read_text(path: str | Path) -> bytes:
    """The file's bytes. Raises InputError where there is no file to read."""
    path = Path(path)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; expected a COCO file (JSON).") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); expected a COCO file (JSON).") from error


def decode_document(path: Path, text: bytes) -> Document:
    """Decode a file's bytes; ``path`` is only named in messages."""
    if problem := text_problem(text):
        return Document(path, problems=[("", problem)], readable=False)
    text = text.removeprefix(b"\xef\xbb\xbf")
    try:
        return _decode(path, text)
    except (msgspec.DecodeError, RecursionError) as error:
        return _second_look(path, text, error)


def _decode(path: Path, text: bytes) -> Document:
    try:
        top = _TOP.decode(text)
    except msgspec.ValidationError:  # it is JSON, but no object
        return _not_an_object(path, _ANY.decode(text))
    rows: Any = []
    if "annotations" in top:
        raw = top.pop("annotations")
        try:
            rows = [_row(one) for one in _LIST.decode(raw)]
        except msgspec.ValidationError:  # no list; a number out of range fails here once more, and rightly
            rows = _ANY.decode(raw)
    else:
        rows = None
    return Document(path, {key: _ANY.decode(raw) for key, raw in top.items()}, rows)


def _row(raw: msgspec.Raw) -> Any:
    try:
        row = _ROW.decode(raw)
    except msgspec.ValidationError:
        return _ANY.decode(raw)
    return {key: value if key == "segmentation" else _ANY.decode(value) for key, value in row.items()}


def _not_an_object(path: Path, value: Any) -> Document:
    kind = {list: "a list", str: "a string", bool: "a boolean", type(None): "null"}.get(type(value), "a number")
    hint = " (COCO results alone? put them under annotations, with images and categories)" if kind == "a list" else ""
    message = f"found {kind} at the top level, expected an object with images, annotations and categories{hint}"
    return Document(path, problems=[("", message)], readable=False)


def text_problem(text: bytes) -> str | None:
    """Why these bytes cannot be JSON, or None."""
    if not text.strip():
        return "the file is empty, expected a JSON object; restore it or export it again"
    if text.isascii():
        return None
    try:
        text.decode()
    except UnicodeDecodeError as error:
        found = "UTF-16" if text[:2] in (b"\xff\xfe", b"\xfe\xff") else f"byte 0x{text[error.start]:02x}"
        return f"found {found} at byte {error.start}, expected UTF-8; save the file as UTF-8"
    return None


def _second_look(path: Path, text: bytes, refusal: Exception) -> Document:
    """msgspec refused the text. The standard library takes NaN and Infinity, so that each can be named by its path, and
    tells line and column of what is no JSON at all."""
    try:
        value = json.loads(text.decode())  # of bytes it would guess the encoding
    except json.JSONDecodeError as error:
        cut = error.pos >= len(text.decode().rstrip()) or error.msg.startswith("Unterminated string")
        what = "the file is cut short" if cut else f"not JSON ({error.msg.lower()})"
        message = f"{what} at line {error.lineno}, column {error.colno}; restore the file or export it again"
        return Document(path, problems=[("", message)], readable=False)
    except RecursionError:
        message = "lists or objects are nested too deep, expected COCO's four or five levels; export it again"
        return Document(path, problems=[("", message)], readable=False)
    if not isinstance(value, dict):
        return _not_an_object(path, value)
    problems = []
    for where, found in not_finite(value):
        mend = "draw the mask again" if ".segmentation" in where else "write null or leave the key out"
        problems.append((where, f"found {found}, which is not JSON, expected a finite number; {mend}"))
    rows = value.pop("annotations", None)
    return Document(path, value, rows, problems or [("", f"not JSON ({refusal}); export it again")])


def not_finite(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """JSON path and name of every NaN and Infinity."""
    if isinstance(value, float):
        if not math.isfinite(value):
            yield path, "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    elif isinstance(value, list):
        for i, one in enumerate(value):
            yield from not_finite(one, f"{path}[{i}]")
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from not_finite(one, f"{path}.{key}" if path else key)

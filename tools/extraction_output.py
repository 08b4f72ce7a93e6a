"""The files of an extraction, written photo by photo from the journal: memory does not grow with the catalog."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .. import __version__
from ..datasets.errors import InputError
from ..datasets.files import atomic_path
from ..datasets.schema import Attribute, Schema
from .extraction import Photo, Scan
from .extraction_log import Journal, PhotoError, Record, unpack_embedding
from .sure import leave_out

ROW_GROUP = 4096


@dataclass
class Extraction:
    """A finished extraction. `model` is what the report calls it. Ids are places: the same photos, the same ids.

    bundles: fingerprints of the bundles that took part. thresholds: labels less sure than these are left out, see
    `leave_out`; None: nothing is.
    """

    scan: Scan
    journal: Journal
    categories: list[str]
    schema: Schema
    model: str
    fingerprint: str
    bundles: tuple[str, ...] = ()
    thresholds: dict[str, float | None] | None = None

    def __post_init__(self) -> None:
        self.photos = [photo for photo in self.scan.photos if self.journal.error(str(photo.path)) is None]
        failed = [photo for photo in self.scan.photos if self.journal.error(str(photo.path)) is not None]
        errors = [(photo.file_name, self.journal.error(str(photo.path))) for photo in failed]
        self.errors: list[tuple[str, PhotoError]] = sorted([*self.scan.errors, *errors], key=lambda pair: pair[0])

    def records(self, photos: list[Photo] | None = None) -> Iterator[tuple[Photo, Record]]:
        """The photos with a result (or some of them), in order of file name, each with its record."""
        photos = self.photos if photos is None else photos
        for photo, record in zip(photos, self.journal.read(str(photo.path) for photo in photos), strict=True):
            if self.thresholds is not None:
                record.items = [leave_out(item, self.thresholds) for item in record.items]
            yield photo, record

    def annotations(self) -> Iterator[tuple[Photo, Record, dict[str, Any], str]]:
        """(photo, its record, annotation with its ids, base64 embedding or "") of every product; both ids from 1."""
        annotation_id = 0
        for image_id, (photo, record) in enumerate(self.records(), start=1):
            embeddings = record.embeddings or [""] * len(record.items)
            for item, embedding in zip(record.items, embeddings, strict=True):
                annotation_id += 1
                yield photo, record, item | {"id": annotation_id, "image_id": image_id}, embedding


def write_predictions(extraction: Extraction, path: Path) -> int:
    """predictions.json: COCO with attributes, scores, probabilities and palette. Returns how many products it holds."""
    count = 0
    encode = msgspec.json.encode
    with atomic_path(path) as temporary, open(temporary, "wb") as out:
        info = {"description": "segattr predictions", "segattr": __version__}
        info |= {"model": extraction.model, "fingerprint": extraction.fingerprint, "bundles": extraction.bundles}
        if extraction.thresholds is not None:
            info["sure"] = extraction.thresholds
        out.write(b'{"info":' + encode(info) + b',\n"licenses":[],\n"images":[')
        for image_id, (photo, record) in enumerate(extraction.records(), start=1):
            image = {"id": image_id, "file_name": photo.file_name, "width": record.width, "height": record.height}
            out.write((b",\n" if image_id > 1 else b"\n") + encode(image))
        out.write(b'],\n"annotations":[')
        for _, _, annotation, _ in extraction.annotations():
            out.write((b",\n" if count else b"\n") + encode(annotation))
            count += 1
        categories = [{"id": number, "name": name} for number, name in enumerate(extraction.categories, start=1)]
        out.write(b'],\n"categories":' + encode(categories))
        out.write(b',\n"attribute_schema":' + encode(extraction.schema.to_json()) + b"}\n")
    return count


def write_errors(extraction: Extraction, path: Path) -> None:
    """errors.jsonl: {"file", "error": kind, "message"} a photo without a result; an empty file when all went well."""
    with atomic_path(path) as temporary, open(temporary, "wb") as out:
        for file, error in extraction.errors:
            out.write(msgspec.json.encode({"file": file, "error": error.kind, "message": error.message}) + b"\n")


_FIXED = (
    ("image", pa.string()),
    ("image_id", pa.int64()),
    ("annotation_id", pa.int64()),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("category", pa.string()),
    ("category_prob", pa.float64()),
    ("score", pa.float64()),
    ("x", pa.float64()),
    ("y", pa.float64()),
    ("w", pa.float64()),
    ("h", pa.float64()),
    ("area", pa.int64()),
    ("rle", pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])),
)
_PALETTE = ("palette", pa.list_(pa.struct([("hex", pa.string()), ("share", pa.float64())])))


def attribute_columns(schema: Schema) -> list[tuple[Attribute, str, str | None]]:
    """(attribute, its column, the column of its probability). A name that is taken gets "attribute_" in front."""
    taken = {name for name, _ in _FIXED} | {_PALETTE[0]}
    columns = []
    for attribute in schema:
        name = attribute.name
        while name in taken or f"{name}_prob" in taken:
            name = f"attribute_{name}"
        columns.append((attribute, name, None if attribute.kind == "number" else f"{name}_prob"))
        taken |= {name, f"{name}_prob"}
    return columns


def parquet_schema(schema: Schema) -> pa.Schema:
    """Columns of instances.parquet, the same for an empty run.

    A single attribute is a string with a float probability; a multi one list<string> with list<double> in the same
    order; a number a double. Null: unknown. `x, y, w, h` in px (xywh), `rle` as pycocotools takes it.
    """
    kinds = {"single": pa.string(), "multi": pa.list_(pa.string()), "number": pa.float64()}
    fields = list(_FIXED)
    for attribute, name, prob_name in attribute_columns(schema):
        fields.append((name, kinds[attribute.kind]))
        if prob_name:
            fields.append((prob_name, pa.list_(pa.float64()) if attribute.kind == "multi" else pa.float64()))
    metadata = {"segattr": __version__, "attribute_schema": msgspec.json.encode(schema.to_json()).decode()}
    return pa.schema([*fields, _PALETTE], metadata=metadata)


def write_parquet(extraction: Extraction, path: Path) -> None:
    """instances.parquet: one row a product, in the order of predictions.json."""
    schema = parquet_schema(extraction.schema)
    columns = attribute_columns(extraction.schema)
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []
        for photo, record, annotation, _ in extraction.annotations():
            rows.append(_row(photo, record, annotation, extraction.categories, columns))
            if len(rows) == ROW_GROUP:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                rows.clear()
        writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _row(photo: Photo, record: Record, annotation: dict, categories: list[str], columns: list) -> dict[str, Any]:
    category = categories[annotation["category_id"] - 1]
    probabilities = annotation["probabilities"]
    row = {
        "image": photo.file_name,
        "image_id": annotation["image_id"],
        "annotation_id": annotation["id"],
        "width": record.width,
        "height": record.height,
        "category": category,
        "category_prob": probabilities["category"].get(category),
        "score": annotation["score"],
        "area": annotation["area"],
        "rle": annotation["segmentation"],
        "palette": annotation["palette"],
    }
    row |= zip("xywh", annotation["bbox"], strict=True)
    for attribute, name, prob_name in columns:
        value = annotation["attributes"].get(attribute.name)
        row[name] = value
        if prob_name and value is not None:
            probs = probabilities.get(attribute.name, {})
            row[prob_name] = [probs.get(one) for one in value] if isinstance(value, list) else probs.get(value)
    return row


def write_embeddings(extraction: Extraction, path: Path) -> None:
    """embeddings.npy: float32 (n, d), row i belongs to row i of instances.parquet. Raises InputError without any."""
    rows = dim = 0
    for _, _, _, packed in extraction.annotations():
        rows, dim = rows + 1, dim or len(unpack_embedding(packed))
        if not packed:
            raise InputError(f"--embeddings: the model {extraction.model} gives none; leave the flag out.")
    with atomic_path(path) as temporary, open(temporary, "wb") as out:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)}
        np.lib.format.write_array_header_1_0(out, header)
        for _, _, _, packed in extraction.annotations():
            out.write(unpack_embedding(packed).tobytes())

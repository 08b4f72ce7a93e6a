"""`segattr data convert`: other datasets' files as COCO of ours, ours as other tools read them."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import tyro

from ..datasets.convert import Notes, Source, Target, present, read, write
from ..datasets.errors import InputError
from ..datasets.schema import Schema
from .progress import Progress

_QUICK = 500  # so few things need no bar
_STEP = 64


@dataclass(frozen=True)
class ConvertConfig:
    """Read a dataset of another maker, write COCO with attributes, or what another tool reads.

    Whatever had to be changed or left out is counted on stderr.
    """

    source: tyro.conf.Positional[Path]
    """A JSON or CSV; of ccp and deepfashion2 the folder."""
    from_: Annotated[Source, tyro.conf.arg(name="from")]
    """What the source is."""
    out: Path
    """The file to write."""
    to: Target = "coco"
    """What to write: COCO with attributes, or the form of another tool."""
    images: Path | None = None
    """The folder that file_name is relative to. Left out: the folder of the source; of ccp photos/, of deepfashion2
    image/ in it."""
    labels: Path | None = None
    """ccp: label_list.mat; imaterialist: label_descriptions.json. Left out: the one beside the source."""
    schema: Path | None = None
    """cvat: a file whose attribute_schema says what the attributes mean. Left out: the source's own, else guessed."""
    skip_missing: bool = False
    """Leave out photos that are not in the folder of photos."""


def convert(config: ConvertConfig) -> int:
    """Run `segattr data convert`."""
    from .data import _count, _moved, _refuse_overwriting

    _refuse_overwriting([config.source], [config.out])
    notes = Notes()
    schema = None if config.schema is None else _schema(config.schema)
    coco, images_dir = read(
        config.source,
        config.from_,
        images=config.images,
        labels=config.labels,
        schema=schema,
        notes=notes,
        track=_track,
    )
    if config.skip_missing or config.images is not None:
        coco = present(coco, images_dir, notes, drop=config.skip_missing)
        if not coco.images:
            raise InputError(f"none of the photos is in {images_dir}; name their folder with --images.")
    where = None
    if config.to == "coco":
        coco, where = _moved(coco, images_dir, config.out.parent)
    write(config.out, coco, config.to, notes=notes)
    for line in notes.lines():
        print(f"segattr: warning: {line}", file=sys.stderr)
    used = len({annotation.category_id for annotation in coco.annotations})
    counted = f"{_count(len(coco.images), 'image')}, {_count(len(coco.annotations), 'annotation')}"
    print(f"{config.out}: {counted}, {used} of {len(coco.categories)} categories used")
    if where:
        print(where)
    return 0


def _schema(path: Path) -> Schema:
    try:
        found = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); expected a file with attribute_schema.") from None
    except msgspec.DecodeError as error:
        raise InputError(f"{path}: not JSON ({error}); expected a file with attribute_schema.") from None
    entries = found.get("attribute_schema") if isinstance(found, dict) else found
    if not entries:
        raise InputError(f"{path}: no attribute_schema; expected a list of {{name, kind, values}} under that key.")
    return Schema.from_json(entries, f"{path}: attribute_schema")


def _track(things: Sequence[Any], unit: str) -> Iterable[Any]:
    if len(things) < _QUICK:
        yield from things
        return
    with Progress(len(things), what="convert", unit=unit) as progress:
        for i, thing in enumerate(things, 1):
            yield thing
            if i % _STEP == 0 or i == len(things):
                progress.advance((i - 1) % _STEP + 1)

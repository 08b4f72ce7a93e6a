"""`segattr data`: validate, stats, split, sample, merge, relabel, convert, synth, compose, refabric."""

import dataclasses
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import tyro
from rich.console import Console

from ..datasets.coco import CocoFile, read_coco, write_coco
from ..datasets.editing import folds, merge, rebase, sample, split, stats
from ..datasets.errors import InputError
from ..datasets.relabel import read_meanings, relabel
from ..datasets.validate import find_defects
from .data_tables import stats_tables

Paths = tyro.conf.Positional[tuple[Path, ...]]


@dataclass(frozen=True)
class ValidateConfig:
    """List everything that is wrong with COCO files: an "error" stops every other verb, a "warning" is worth a look.

    Exit code 0 without a finding, 1 with one.
    """

    files: Paths
    """COCO files."""
    images: Path | None = None
    """The folder that file_name is relative to: look at the photos too (missing, broken, another size)."""
    json: bool = False
    """Print a list of {file, path, message, fatal}."""


@dataclass(frozen=True)
class StatsConfig:
    """Count images, annotations, categories, attribute values and mask sizes."""

    file: tyro.conf.Positional[Path]
    """A COCO file."""
    json: bool = False
    """Print JSON in place of tables."""


@dataclass(frozen=True)
class SplitConfig:
    """Cut a file into train, val and test, or into folds, whole groups each, sizes and categories as even as groups
    allow."""

    file: tyro.conf.Positional[Path]
    """A COCO file."""
    out: Path | None = None
    """Folder of train.json, val.json, test.json (or fold0.train.json, fold0.val.json, ...). Left out: FILE.train.json,
    ... beside the file."""
    val: float = 0.2
    """Share of the images for validation, 0 for no such part."""
    test: float = 0.0
    """Share of the images for the test, 0 for no such part."""
    folds: int | None = None
    """In the place of --val and --test: so many folds for cross-validation; every photo is in one fold's val part."""
    group_by: str | None = None
    """A key of the images (source_id, product, ...): equal values stay in one part."""
    seed: int = 0
    """The same seed gives the same parts."""


@dataclass(frozen=True)
class SampleConfig:
    """Take some photos of a file, whole groups each: how good does a model get with so many?

    Groups are drawn one after the other until another would lead away from the number asked for. With the same seed a
    smaller sample is contained in every larger one.
    """

    file: tyro.conf.Positional[Path]
    """A COCO file."""
    images: int
    """How many photos; with groups, about as many."""
    out: Path
    """The file to write."""
    group_by: str | None = None
    """A key of the images (source_id, product, ...): equal values come together or not at all."""
    seed: int = 0
    """The same seed draws the groups in the same order."""


@dataclass(frozen=True)
class MergeConfig:
    """Make one file of several: ids anew from 1, categories joined by name, schemas joined where they agree.

    With a single file: number its ids from 1.
    """

    files: Paths
    """COCO files."""
    out: Path
    """The file to write."""


@dataclass(frozen=True)
class RelabelConfig:
    """Put a file into another catalog's words: its categories and its attribute schema, by a map that you write.

    The map is a JSON object: {"jeans": {"category": "pants", "attributes": {"material": "denim"}}, "coat": "outwear",
    "belt": null}. Categories that are not in it keep their name where the other catalog has it, else they are left out.
    """

    file: tyro.conf.Positional[Path]
    """A COCO file."""
    map: Path
    """The JSON object."""
    like: Path
    """A COCO file of the catalog whose categories and schema are wanted."""
    out: Path
    """The file to write."""


def validate(config: ValidateConfig) -> int:
    defects = [defect for file in _given(config.files) for defect in find_defects(file, config.images)]
    if config.json:
        print(msgspec.json.format(msgspec.json.encode(defects)).decode())
        return 1 if defects else 0
    for defect in defects:
        print(f"{'error' if defect.fatal else 'warning'}: {defect}")
    errors = sum(defect.fatal for defect in defects)
    if defects:
        print(f"{_count(errors, 'error')}, {_count(len(defects) - errors, 'warning')}")
    else:
        print(f"{_count(len(config.files), 'file')} without a defect")
    return 1 if defects else 0


def show_stats(config: StatsConfig) -> int:
    found = stats(read_coco(config.file))
    if config.json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
        return 0
    console = Console()
    for table in stats_tables(found, config.file):
        console.print(table, "")
    return 0


def split_file(config: SplitConfig) -> int:
    coco = read_coco(config.file)
    parts = _parts(config, coco)
    folder = config.file.parent if config.out is None else config.out
    prefix = f"{config.file.stem}." if config.out is None else ""
    _write_parts({folder / f"{prefix}{name}.json": part for name, part in parts.items()}, coco, config.file)
    return 0


def _parts(config: SplitConfig, coco: CocoFile) -> dict[str, CocoFile]:
    """Name -> part: those of the shares, or train and val of every fold."""
    if config.folds is not None:
        if (config.val, config.test) != (SplitConfig.val, SplitConfig.test):
            raise InputError("--folds makes its own parts; leave out --val and --test.")
        cut = folds(coco, config.folds, group_by=config.group_by, seed=config.seed)
        return {f"fold{i}.{name}": pair[k] for i, pair in enumerate(cut) for k, name in enumerate(("train", "val"))}
    if not (config.val >= 0 and config.test >= 0 and 0 < config.val + config.test < 1):
        raise InputError(
            f"--val {config.val:g} and --test {config.test:g}: expected shares of 0 or more, in all above 0 and below 1."
        )
    shares = {"train": 1 - config.val - config.test, "val": config.val, "test": config.test}
    return split(coco, {k: v for k, v in shares.items() if v > 0}, group_by=config.group_by, seed=config.seed)


def sample_file(config: SampleConfig) -> int:
    coco = read_coco(config.file)
    taken = sample(coco, config.images, group_by=config.group_by, seed=config.seed)
    _write_parts({config.out: taken}, coco, config.file)
    return 0


def _write_parts(parts: dict[Path, CocoFile], whole: CocoFile, source: Path) -> None:
    """Write parts of a file, and say how much is in them."""
    _refuse_overwriting([source], parts)
    note = None
    for target, part in parts.items():
        moved, note = _moved(part, source.parent, target.parent)
        write_coco(target, moved)
        share = len(part.images) / len(whole.images)
        counted = f"{_count(len(part.images), 'image')} ({share:.1%}), {_count(len(part.annotations), 'annotation')}"
        print(f"{target}: {counted}")
    if note:
        print(note)


def merge_files(config: MergeConfig) -> int:
    files: dict[str, CocoFile] = {}
    notes = []
    for path in _given(config.files):
        if str(path) in files:
            raise InputError(f"{path} is named twice; expected each file once.")
        files[str(path)], note = _moved(read_coco(path, renumber=True), path.parent, config.out.parent)
        if note and len({file.parent.resolve() for file in config.files}) > 1:
            raise InputError(
                f"{path}: its photos cannot be named from {config.out.parent} without '../'; write --out into a folder "
                "above all the files."
            )
        notes.append(note)
    merged = merge(files)
    write_coco(config.out, merged)
    print(f"{config.out}: {_count(len(merged.images), 'image')}, {_count(len(merged.annotations), 'annotation')}")
    if notes[0]:
        print(notes[0])
    return 0


def relabel_file(config: RelabelConfig) -> int:
    _refuse_overwriting([config.file, config.like, config.map], [config.out])
    changed, became, dropped = relabel(read_coco(config.file), read_meanings(config.map), read_coco(config.like))
    moved, note = _moved(changed, config.file.parent, config.out.parent)
    write_coco(config.out, moved)
    print(f"{config.out}: {_count(len(moved.images), 'image')}, {_count(sum(became.values()), 'annotation')}")
    if dropped:
        said = ", ".join(f"{name} {count:,}" for name, count in dropped.most_common())
        print(f"left out, no category of the other catalog: {said}")
    if note:
        print(note)
    return 0


def _given(files: Sequence[Path]) -> Sequence[Path]:
    if not files:
        raise InputError("no file is named; expected one COCO file or more.")
    return files


def _refuse_overwriting(sources: Sequence[Path], targets: Any) -> None:
    for target in targets:
        if target.resolve() in [source.resolve() for source in sources]:
            raise InputError(f"{target} would overwrite what it is made of; give another --out.")


def _moved(coco: CocoFile, old_dir: Path, new_dir: Path) -> tuple[CocoFile, str | None]:
    """The file as it is written into another folder, and what the user has to know.

    Where the photos lie beside the file, their names are made relative to the new folder. Where they do not, the names
    are relative to a folder that only the user knows, and they stay.
    """
    if old_dir.resolve() == new_dir.resolve() or not any((old_dir / image.file_name).exists() for image in coco.images):
        return coco, None
    moved = rebase(coco, old_dir, new_dir)
    if moved is not None:
        return moved, None
    return coco, f"The photos are not under {new_dir}: file_name stays relative to {old_dir}; use --images {old_dir}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _synth(argv: Sequence[str]) -> int:
    from ..datasets.synthetic import SynthConfig, generate

    @dataclass(frozen=True)
    class Synth:
        """Draw a catalog: photos of garments or jewellery with exact masks and attributes, written as COCO."""

        out: tyro.conf.Positional[Path]
        """Folder of catalog.json and images/; made where it is missing."""
        config: Annotated[SynthConfig, tyro.conf.arg(name="")] = dataclasses.field(default_factory=SynthConfig)

    asked = tyro.cli(Synth, args=argv, prog="segattr data synth")
    print(f"{generate(asked.config, asked.out)}: {_count(asked.config.images, 'image')}")
    return 0


def _compose(argv: Sequence[str]) -> int:
    from ..datasets.compose import ComposeConfig, compose

    @dataclass(frozen=True)
    class Compose:
        """Compose scenes of several products: cut-outs of a COCO file on grounds, with exact masks, written as COCO."""

        cutouts: tyro.conf.Positional[Path]
        """COCO file with the masks to cut out by."""
        out: Path
        """Folder of catalog.json and images/; made where it is missing."""
        config: Annotated[ComposeConfig, tyro.conf.arg(name="")] = dataclasses.field(default_factory=ComposeConfig)

    asked = tyro.cli(Compose, args=argv, prog="segattr data compose")
    made = compose(asked.cutouts, asked.config, asked.out)
    print(f"{made}: {_count(asked.config.images, 'image')}")
    return 0


def _refabric(argv: Sequence[str]) -> int:
    from ..datasets.refabric import RefabricConfig, refabric

    @dataclass(frozen=True)
    class Refabric:
        """Give products of a COCO file other fabrics: outline, folds, ground and light stay; colour, pattern, material
        are drawn, with exact labels; written as COCO."""

        file: tyro.conf.Positional[Path]
        """COCO file with masks, and color and pattern among its attributes."""
        out: Path
        """Folder of catalog.json and images/; made where it is missing."""
        config: Annotated[RefabricConfig, tyro.conf.arg(name="")] = dataclasses.field(default_factory=RefabricConfig)

    asked = tyro.cli(Refabric, args=argv, prog="segattr data refabric")
    print(f"{refabric(asked.file, asked.config, asked.out)}: {_count(asked.config.images, 'image')}")
    return 0


DRAWERS = {"synth": _synth, "compose": _compose, "refabric": _refabric}
# verb -> (config, program, one line of help)
VERBS: dict[str, tuple[type, Callable[[Any], int], str]] = {
    "validate": (ValidateConfig, validate, "list everything that is wrong with COCO files"),
    "stats": (StatsConfig, show_stats, "count images, categories, attribute values, mask sizes"),
    "split": (SplitConfig, split_file, "cut a file into train, val, test, or into folds; groups stay whole"),
    "sample": (SampleConfig, sample_file, "take some photos of a file; groups stay whole"),
    "merge": (MergeConfig, merge_files, "make one file of several, ids from 1"),
    "relabel": (RelabelConfig, relabel_file, "put a file into another catalog's categories and schema"),
}


def usage() -> str:
    lines = ["usage: segattr data VERB ... (segattr data VERB --help tells its flags)", ""]
    lines += [f"  {verb:<9} {text}" for verb, (_, _, text) in VERBS.items()]
    lines.append("  convert   read other datasets' files, write for other tools")
    lines.append("  synth     draw a catalog with exact masks and attributes")
    lines.append("  compose   scenes of several products, from cut-outs of a file")
    return "\n".join([*lines, "  refabric  photos whose product wears another colour, pattern, material"])


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """A warning is a sentence for the reader, not a line of our source."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: print(f"segattr: warning: {message}", file=sys.stderr)
        yield


def main(argv: Sequence[str]) -> int:
    """Run one of the verbs. Returns 0, or 1 where `validate` finds a defect, or 2 for an unknown verb."""
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0
    verb, rest = argv[0], list(argv[1:])
    with _plain_warnings():
        if verb in DRAWERS:
            return DRAWERS[verb](rest)
        if verb == "convert":
            from .convert import ConvertConfig as config
            from .convert import convert as program
        elif verb in VERBS:
            config, program, _ = VERBS[verb]
        else:
            raise InputError(
                f"no verb {verb!r} in segattr data; expected one of {', '.join([*VERBS, 'convert', *DRAWERS])}."
            )
        asked = tyro.cli(config, args=rest, prog=f"segattr data {verb}")
        try:
            return program(asked)
        except OSError as error:
            mend = "expected a place that can be read and written"
            raise InputError(f"{error.filename}: {error.strerror}; {mend}: check the path and its rights.") from error

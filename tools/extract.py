"""`segattr extract`: a folder of photos in; masks, categories and attributes of every product out."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from .. import __version__
from ..datasets.errors import InputError
from . import extraction_output as output
from .extraction import Scan, process, scan
from .extraction_log import Journal, journal_folder
from .given_masks import GivenMasks, read_masks
from .sure import card_thresholds

if TYPE_CHECKING:
    from ..attributes.predictor import Predictor

FILES = {"json": "predictions.json", "parquet": "instances.parquet", "html": "report.html"}


@dataclass(frozen=True)
class ExtractConfig:
    """Find every product in the photos: its mask, category, attributes and colours.

    Writes predictions.json (COCO with attributes), instances.parquet (one row a product), report.html (a contact sheet
    that opens offline) and errors.jsonl (the photos that could not be read) into --out. A run that was stopped goes on
    where it was when the same command is started again; photos that came, changed or went since are brought up to date.
    """

    paths: tyro.conf.Positional[tuple[Path, ...]]
    """Folders (searched recursively) or image files."""
    out: Path
    """Folder of the results; made where it is missing."""
    model: str = "default"
    """A bundle: "default" or its folder."""
    segmenter: str | None = None
    """Where the masks come from: "semantic", "instance" (Mask R-CNN, for photos of several products) or the folder of
    another bundle. By default the model's semantic part if it has one, else its instance part."""
    heads: Literal["crops", "roi"] = "crops"
    """What reads the attributes: crops, the attribute network; roi, heads on the features of the Mask R-CNN that finds
    the masks, where it was trained with --heads roi."""
    masks: Path | None = None
    """A COCO file: read the attributes under its masks instead of the model's own. How good are the attributes where the
    masks are right? Photos are matched by file name; those that the file lacks are left out, its crowd regions too."""
    sure: bool = False
    """Leave out attribute values below the thresholds of the bundle's card, from which they were right in 95 % of the
    cases (segattr evaluate --card); an attribute that has no such threshold is left out everywhere."""
    format: tuple[Literal["json", "parquet", "html"], ...] = ("json", "parquet", "html")
    """Which files to write."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs."""
    batch_size: int = 16
    """Photos a step."""
    report_max: int = 400
    """Photos in report.html at most, spread evenly over the catalog."""
    embeddings: bool = False
    """Also write embeddings.npy: float32, one row a product in the order of instances.parquet."""
    restart: bool = False
    """Throw away what an earlier run in --out has done."""


@dataclass(frozen=True)
class Summary:
    """What an extraction did. photos: with a result; products in them; errors: photos without one. notes: sentences for
    the reader."""

    photos: int
    products: int
    errors: int
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Plan:
    """Which photos, and under which masks."""

    scan: Scan
    masks: GivenMasks | None
    notes: tuple[str, ...] = ()


def _plan(config: ExtractConfig) -> _Plan:
    """What is to be done; tells mistakes before the seconds that torch and a model take to load."""
    _check(config)
    found = scan(config.paths)
    if config.masks is None:
        return _Plan(found, None)
    masks = read_masks(config.masks, [photo.file_name for photo in found.photos])
    notes = []
    if without := len(found.photos) - len(masks.photos):
        notes.append(f"--masks {config.masks}: {without:,} of {len(found.photos):,} photos are not in it: left out.")
    if masks.absent:
        notes.append(f"--masks {config.masks}: {masks.absent:,} of its photos are not among those named.")
    return _Plan(
        replace(found, photos=[one for one in found.photos if one.file_name in masks.photos]), masks, (*notes,)
    )


def extract(config: ExtractConfig, predictor: Predictor) -> Summary:
    """Run the whole extraction with this predictor. Raises InputError for whatever the user can mend."""
    return _extract(config, _plan(config), predictor)


def _extract(config: ExtractConfig, plan: _Plan, predictor: Predictor) -> Summary:
    model, fingerprint, identity = Path(config.model).name, predictor.fingerprint, {}
    if plan.masks is not None:
        model += f" (true masks: {plan.masks.where})"
        fingerprint = hashlib.sha256(f"{fingerprint}/{plan.masks.fingerprint}".encode()).hexdigest()[:16]
        identity = {"root": str(plan.scan.root)}  # a photo's masks are found by its name from there
    elif config.segmenter is not None:
        model += f" (masks: {Path(config.segmenter).name})"
    identity = {"segattr": __version__, "model": fingerprint} | identity
    thresholds, notes = None, plan.notes
    if config.sure:
        thresholds, said = card_thresholds(predictor.bundle, fingerprint)
        notes = (*notes, said)
    with Journal(journal_folder(config.out), identity, restart=config.restart) as journal:
        process(plan.scan.photos, predictor, journal, batch_size=config.batch_size, masks=plan.masks)
        extraction = output.Extraction(
            plan.scan,
            journal,
            list(predictor.categories),
            predictor.schema,
            model,
            fingerprint,
            predictor.bundles,
            thresholds,
        )
        summary = _write(config, extraction)
        journal.mark_complete()
    return replace(summary, notes=notes)


def _check(config: ExtractConfig) -> None:
    for flag, value in (("--batch-size", config.batch_size), ("--report-max", config.report_max)):
        if value < 1:
            raise InputError(f"{flag} {value}: expected a whole number of at least 1.")
    if config.masks is not None and config.segmenter is not None and config.heads == "crops":
        raise InputError(
            f"--masks {config.masks} and --segmenter {config.segmenter}: two places for masks to come from; leave one out."
        )
    if not config.format:
        raise InputError(f"--format: expected one or more of {', '.join(FILES)}.")
    out = config.out.absolute()
    there = next(part for part in (out, *out.parents) if part.exists())
    if not there.is_dir():
        raise InputError(f"--out {config.out}: {there} is a file; expected a folder.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"--out {config.out}: {there} may not be written to; choose another folder.")


def _write(config: ExtractConfig, extraction: output.Extraction) -> Summary:
    paths = {kind: config.out / FILES[kind] for kind in FILES if kind in config.format}
    errors = config.out / "errors.jsonl"
    try:
        output.write_errors(extraction, errors)
        if "json" in paths:
            output.write_predictions(extraction, paths["json"])
        if "parquet" in paths:
            output.write_parquet(extraction, paths["parquet"])
        if config.embeddings:
            paths["npy"] = config.out / "embeddings.npy"
            output.write_embeddings(extraction, paths["npy"])
        if "html" in paths:
            from .report import write_report

            write_report(extraction, paths["html"], max_photos=config.report_max)
    except OSError as error:
        raise InputError(
            f"--out {config.out}: cannot be written ({error.strerror}); what is done so far is kept: mend that and "
            "start the same command again."
        ) from error
    products = sum(len(record.items) for _, record in extraction.records())
    return Summary(len(extraction.photos), products, len(extraction.errors), (*paths.values(), errors))


def run(config: ExtractConfig) -> int:
    """The verb: load the model, extract, say what came of it. Returns 0, or 1 where no photo at all had a result."""
    plan = _plan(config)
    from ..attributes.predictor import load_predictor

    start_s = time.monotonic()
    given = plan.masks is not None
    predictor = load_predictor(config.model, config.device, config.segmenter, config.heads, masks_given=given)
    summary = _extract(config, plan, predictor)
    print(
        f"{summary.photos} photos, {summary.products} products, {summary.errors} errors "
        f"in {time.monotonic() - start_s:.1f} s"
    )
    for path in summary.files:
        print(f"  {path}")
    stale = [config.out / name for kind, name in FILES.items() if kind not in config.format]
    for note in summary.notes:
        print(f"segattr: note: {note}", file=sys.stderr)
    for path in stale:
        if path.exists():
            print(f"segattr: note: {path} is of an earlier run (not in --format).", file=sys.stderr)
    if not summary.photos:
        print("segattr: no photo could be processed; errors.jsonl says why.", file=sys.stderr)
        return 1
    return 0


def main(argv: list[str]) -> int:
    """Parse the flags and run."""
    return run(tyro.cli(ExtractConfig, args=argv, prog="segattr extract"))

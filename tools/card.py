"""`segattr card`: a bundle's card as a page of Markdown: data, licences, recipe, figures, thresholds, known failures."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from ..datasets.errors import InputError
from ..datasets.files import write_atomic
from ..weights.bundle import Bundle, read_bundle

_NAMES = {
    "product/iou": "product IoU, mean",
    "product/iou_below_80": "products below IoU 0.8",
    "product/found": "products found",
    "product/boundary_f": "boundary F",
    "segm-agnostic": "masks, one class",
    "segm": "masks, by category",
    "joint/segm": "masks and attributes",
    "boundary": "boundaries, by category",
    "macro_f1": "macro-F1",
    "macro_ap": "macro-AP",
    "jaccard": "set overlap",
    "exact": "whole set right",
    "ece": "calibration error (ECE)",
    "mae": "mean absolute error",
    "rmse": "RMSE",
}


@dataclass(frozen=True)
class CardConfig:
    """Show what a bundle says of itself, as Markdown: data and licences, the commands that made it, figures with
    intervals, the thresholds of its answers, its most frequent mistakes and known failures.

    Figures and thresholds are there where segattr evaluate --card has measured them.
    """

    bundle: tyro.conf.Positional[str]
    """A bundle: "default" or its folder."""
    out: Path | None = None
    """The file to write; by default the standard output."""


def page(bundle: Bundle) -> str:
    """The whole page. Raises InputError for a card that is not what this segattr writes."""
    card = bundle.card
    try:
        trained = [(part, one) for part in bundle.parts if card.get(part) for one in trainings(card[part])]
        blocks = [
            [f"# {bundle.folder.name}", "", _headline(bundle)],
            ["## Data and licences", "", *_data(trained)],
            *([f"## Figures: {_title(one)}", "", *_evaluation(one)] for one in card.get("evaluations", [])),
            ["## Known failures", "", *(f"- {one}" for one in card.get("known_failures", ["None is written down."]))],
            ["## Recipe", "", *_recipe(trained)],
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{bundle.folder}/bundle.json: card: not what this segattr writes ({error!r}); copy the bundle again, or "
            "upgrade segattr if a newer one wrote it"
        ) from error
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def trainings(card: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The trainings that led to a card, in the order in which they were made, each once; its own is the last."""
    seen = set()
    for one in _chain(card):
        if one.get("command") not in seen:
            seen.add(one.get("command"))
            yield one


def _chain(card: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for one in (card.get("encoder_weights"), card.get("init"), *card.get("teachers", [])):
        if before := (one or {}).get("card"):
            yield from _chain(before)
    yield card


def _headline(bundle: Bundle) -> str:
    size_mb = sum((bundle.folder / name).stat().st_size for name in bundle.info["files"]) / 1e6
    return f"Parts: {', '.join(bundle.parts)}; {size_mb:.1f} MB of weights; fingerprint `{bundle.fingerprint}`."


def _data(trained: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    rows: dict[tuple, list[str]] = {}
    for part, one in trained:
        for how, files in (("", one.get("data", [])), (", without labels", one.get("unlabeled", []))):
            for file in files:
                licences = ", ".join(_licence(each) for each in file["licenses"]) or "none stated"
                row = (file["file"], file["description"], f"{file['images']:,}", f"{file['annotations']:,}", licences)
                rows.setdefault(row, []).append(part + how)
    yield from _table(
        ("file", "what", "photos", "products", "licences", "trained"),
        [(*row, "; ".join(dict.fromkeys(parts))) for row, parts in rows.items()],
    )


def _licence(one: Any) -> str:
    return str(one.get("name", one)) if isinstance(one, dict) else str(one)


def _title(one: Mapping[str, Any]) -> str:
    return f"{one['model']} on {one['truth']['file']}"


def _evaluation(one: Mapping[str, Any]) -> Iterator[str]:
    truth = one["truth"]
    what = f"{truth['images']:,} photos, {truth['products']:,} products"
    yield f"{truth['description'] or truth['file']}: {what}. {one['date']}, segattr {one['segattr']}:"
    yield from ("", "```text", one["command"], "```", "")
    if one["chose"]:
        yield f"These photos chose the best epoch of {' and '.join(one['chose'])}: expect less on others."
        yield ""
    yield from _table(
        ("figure", "value", f"95 % interval, by {truth['group_by']} ({truth['groups']:,})"),
        [(_name(key), _number(each["value"]), _interval(each["ci95"])) for key, each in one["figures"].items()],
    )
    if one["thresholds"]:
        yield from ("", *_thresholds(one["thresholds"]))
    if rows := [(head, each) for head, mistakes in one["mistakes"].items() for each in mistakes]:
        yield from ("", "Most frequent mistakes:", "")
        yield from _table(
            ("", "true", "read as", "products"),
            [(head, _value(m["true"]), _value(m["read"]), f"{m['count']:,} of {m['of']:,}") for head, m in rows],
        )


def _thresholds(heads: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    precision = next(iter(heads.values()))["precision"]
    yield f"Thresholds: answers from this probability on are right in {precision:.0%} of the cases. The last two columns are"
    yield "what such a threshold is worth on groups that had no part in choosing it."
    yield ""
    columns = ("threshold", "share of the products", "right", "left out: share", "left out: right")
    rows = []
    for head, one in heads.items():
        name = head.removesuffix(".first") + (", first value" if head.endswith(".first") else "")
        share = f"{_number(one['share'])} ({one['accepted']:,} of {one['of']:,})"
        cells = (_number(one["threshold"]), share, _number(one["right"])) if one["accepted"] else (one["why"], "0", "")
        rows.append((name, *cells, _number(one["left_out"]["share"]), _number(one["left_out"]["right"])))
    yield from _table(("", *columns), rows)


def _recipe(trained: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    for number, (part, one) in enumerate(trained, 1):
        said = [part, one.get("date"), f"seed {one['seed']}" if "seed" in one else None, _effort(one)]
        versions = ", ".join(f"{name} {version}" for name, version in one.get("versions", {}).items())
        yield f"{number}. {', '.join(each for each in [*said, versions] if each)}"
        yield from ("", "   ```text", f"   {one['command']}", "   ```", "")


def _effort(one: Mapping[str, Any]) -> str | None:
    """How long on what, as far as the card says."""
    machine, seconds = one.get("machine"), one.get("seconds")
    hours = (
        "" if seconds is None else f"{seconds / 3600:.1f} hours" if seconds >= 360 else f"{seconds / 60:.1f} minutes"
    )
    if machine is None:
        return hours or None
    shared = f", {machine['processes']} processes" if machine["processes"] > 1 else ""
    return f"{hours} on {machine['name']} ({machine['device']}), {machine['cores']} CPU cores{shared}".strip()


def _name(key: str) -> str:
    """A key of metrics.json in words."""
    if key in _NAMES:
        return _NAMES[key]
    prefix, _, figure = key.removeprefix("true_masks/").rpartition("/")
    words = f"{_NAMES.get(prefix, prefix.removeprefix('attributes/'))}: {_NAMES.get(figure, figure)}"
    return f"on true masks, {words}" if key.startswith("true_masks/") else words


def _value(name: str | None) -> str:
    return "none" if name is None else name


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(ends: Sequence[float] | None) -> str:
    return "-" if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for row in (columns, ["---"] * len(columns), *rows):
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |"


def run(config: CardConfig) -> int:
    """The verb. Returns 0."""
    text = page(read_bundle(config.bundle))
    if config.out is None:
        print(text, end="")
        return 0
    try:
        write_atomic(config.out, text)
    except OSError as error:
        raise InputError(f"--out {config.out}: cannot be written ({error.strerror}).") from error
    print(config.out)
    return 0


def main(argv: Sequence[str]) -> int:
    """Parse the flags and run."""
    return run(tyro.cli(CardConfig, args=argv, prog="segattr card"))

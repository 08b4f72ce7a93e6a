"""The end of a training: its card (what was trained on what, by which command) and the bundle."""

import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import msgspec
import timm
import torch

from .. import __version__
from ..datasets.coco import CocoFile
from ..weights.bundle import read_bundle, write_bundle

CARD_SUFFIX = ".card.json"  # of the card beside a weights file that is no bundle's


def training_card(name: str, config, files: list[tuple[CocoFile, Path]], figures: Mapping[str, float]) -> dict:
    """What the bundle says of its training: data and licences, command, seed, time, machine, figures on validation,
    versions."""
    return {
        **provenance(config, files),
        "init": None if config.init is None else from_bundle(config.init, name),
        "validation": {"file": config.val.name, "note": "chose the best epoch: validation figures, not test figures"},
        "figures": rounded(figures),
    }


def provenance(config, files: list[tuple[CocoFile, Path]]) -> dict:
    """The part of a card that every training has: command, date, data, first weights of the encoder, versions."""
    return {
        # A resumed run ends where an unbroken one does (a test shows it), so the flag is no part of the recipe.
        "command": shlex.join(["segattr", *(word for word in sys.argv[1:] if word != "--loop.resume")]),
        "date": date.today().isoformat(),
        "seed": config.loop.seed,
        "seconds": seconds_trained(config.out),
        "machine": machine(config.loop.device),
        "data": described(config.data, files),
        "encoder_weights": _encoder_weights(config.encoder_weights),
        "versions": {
            "segattr": __version__,
            "torch": str(torch.__version__),
            "timm": timm.__version__,
            "python": platform.python_version(),
        },
    }


def rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in figures.items()}


def seconds_trained(out: Path) -> int | None:
    """How long the run in ``out`` has trained, evaluations included, over all the times that it was resumed. None where
    its checkpoint does not say."""
    path = out / "last.pt"
    if not path.is_file():
        return None
    seconds = torch.load(path, map_location="cpu", weights_only=True, mmap=True).get("seconds")
    return None if seconds is None else round(seconds)


def machine(device: str) -> dict:
    """What trained: kind and model of the processor, cores that this process may use, processes of torchrun. ``device``:
    auto, cpu or cuda. No name of a host."""
    cuda = device != "cpu" and torch.cuda.is_available()
    return {
        "device": "cuda" if cuda else "cpu",
        "name": torch.cuda.get_device_name() if cuda else _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def described(paths: Sequence[Path], files: Sequence[tuple[CocoFile, Path]]) -> list[dict]:
    """What the card says of the files that were trained on."""
    return [
        {
            "file": path.name,
            "description": coco.info.get("description", ""),
            "images": len(coco.images),
            "annotations": len(coco.annotations),
            "licenses": coco.licenses,
        }
        for path, (coco, _) in zip(paths, files, strict=True)
    ]


def from_bundle(model: str, name: str) -> dict:
    """What the card says of a bundle whose part ``name`` took part in the training."""
    return {"from": "/".join(Path(model).parts[-2:]), "card": read_bundle(model).card.get(name, {})}


def _encoder_weights(weights: str) -> dict:
    """Where the encoder's first weights came from; of a bundle's or a pretraining's file, with what its card says."""
    path = Path(weights)
    said = {"from": "/".join(path.parts[-2:])}
    if (path.parent / "bundle.json").is_file():
        said["card"] = read_bundle(path.parent).card.get(path.stem, {})
    elif path.with_suffix(CARD_SUFFIX).is_file():
        said["card"] = msgspec.json.decode(path.with_suffix(CARD_SUFFIX).read_bytes())
    return said


def finish_bundle(out: Path, name: str, part: dict, state: dict, card: dict, join: Path | None, half: bool) -> Path:
    """Write ``out/bundle`` with the new part and, from ``join``, the parts it lacks. Returns its folder."""
    parts, states, cards = {name: part}, {name: state}, {name: card}
    if join is not None:
        other = read_bundle(join)
        for kept in other.parts:
            if kept != name:
                parts[kept], states[kept] = other.parts[kept], other.tensors(kept)
                cards[kept] = other.card.get(kept, {})
    bundle = write_bundle(out / "bundle", parts, states, cards, half=half)
    print(f"bundle: {bundle.folder}", file=sys.stderr)
    return bundle.folder

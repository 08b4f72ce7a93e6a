"""Which segmenter a bundle has, and the one that the user asks for."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from ..datasets.errors import InputError
from ..weights.bundle import SHIPPED, Bundle, read_bundle
from .components import InstanceOptions
from .detectron2 import load_detectron2
from .instance import InstanceConfig, InstanceNet, InstanceSegmenter
from .segments import Segment
from .semantic import SemanticConfig, SemanticNet, SemanticSegmenter

_INSTANCE_PARTS = ("instance", "detectron2")
_ANY_PART = ("semantic", *_INSTANCE_PARTS)
SHIPPED_INSTANCE = "instance"  # the name of the shipped bundle whose masks are of Mask R-CNN


class Segmenter(Protocol):
    """Photos to product masks, whichever network is behind."""

    def predict(self, images: Sequence[np.ndarray]) -> list[list[Segment]]:
        """``images``: uint8 (h, w, 3) RGB of any sizes. Returns the segments of each photo, largest score first."""


@dataclass(frozen=True)
class Choice:
    """One part of one bundle."""

    bundle: Bundle
    part: str

    @property
    def fingerprint(self) -> str:
        return f"{self.bundle.fingerprint}/{self.part}"


def choose_segmenter(bundle: Bundle, wanted: str | Path | None = None) -> Choice:
    """Where the segmenter for ``bundle`` is.

    ``wanted``: None: the bundle's semantic part, else its instance part. "semantic" or "instance": that part (with the
    shipped default: of the shipped instance bundle). A folder or the name of a shipped bundle: the instance part of
    that bundle, else its semantic part. Raises InputError where there is none.
    """
    if wanted is None:
        return _first(bundle, _ANY_PART)
    if wanted == "semantic":
        return _first(bundle, ("semantic",))
    if wanted == "instance":
        if not any(part in bundle.parts for part in _INSTANCE_PARTS) and bundle.folder == SHIPPED / "default":
            if not (SHIPPED / SHIPPED_INSTANCE / "bundle.json").is_file():
                raise InputError(
                    "--segmenter instance: no instance model ships with this segattr; train one with `segattr train "
                    "instance` and give its bundle's folder, or use --segmenter semantic"
                )
            bundle = read_bundle(SHIPPED / SHIPPED_INSTANCE)
        return _first(bundle, _INSTANCE_PARTS)
    if not Path(wanted).is_dir() and not (SHIPPED / str(wanted) / "bundle.json").is_file():
        raise InputError(
            f"--segmenter {wanted}: no such bundle; expected 'semantic', 'instance' or the folder of a bundle"
        )
    return _first(read_bundle(wanted), (*_INSTANCE_PARTS, "semantic"))


def _first(bundle: Bundle, parts: tuple[str, ...]) -> Choice:
    part = next((part for part in parts if part in bundle.parts), parts[0])
    bundle.part(part)  # says, where none is there, how to mend that
    return Choice(bundle, part)


def joint_fingerprint(bundle: Bundle, choice: Choice, heads: str = "crops") -> str:
    """Of a bundle whose masks come from ``choice`` and whose attributes ``heads`` read: the bundle's own where that is
    what it would choose itself."""
    own = next((part for part in _ANY_PART if part in bundle.parts), None)
    if choice.bundle.fingerprint == bundle.fingerprint and choice.part == own and heads == "crops":
        return bundle.fingerprint
    return hashlib.sha256(f"{bundle.fingerprint}/{choice.fingerprint}/{heads}".encode()).hexdigest()[:16]


def load_segmenter(choice: Choice, device: str | torch.device = "cpu") -> Segmenter:
    """Build it. Raises InputError for a part that is not what this segattr expects."""
    bundle = choice.bundle
    if choice.part == "detectron2":
        return load_detectron2(bundle, device)
    part = bundle.part(choice.part)
    if choice.part == "instance":
        with bundle.described("instance"):
            config = InstanceConfig(**tuples(part["model"]))
            net = InstanceNet(config)
        # Attribute heads on shared features are another floor's.
        return InstanceSegmenter(bundle.load_into("instance", net, without="attributes."), device)
    with bundle.described("semantic"):
        config, options = SemanticConfig(**tuples(part["model"])), InstanceOptions(**part["instances"])
    return SemanticSegmenter(bundle.load_into("semantic", SemanticNet(config)), options, device)


def tuples(fields: dict) -> dict:
    """What JSON made of a config: its lists are tuples again."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}

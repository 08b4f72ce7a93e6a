"""A model is a folder: ``bundle.json`` and ``*.safetensors`` with their SHA-256. Loading one runs no code from it.

``bundle.json``::

    {"format": "segattr-bundle", "version": 1,
     "parts": {"semantic": {...architecture...}, "attributes": {...architecture...}},
     "files": {"semantic.safetensors": "<sha256>", ...},
     "card": {"semantic": {...training data and licence, command, figures, versions...}, "attributes": {...},
              "evaluations": [...what `segattr evaluate --card` measured...], "known_failures": ["...", ...]}}

A *part* is one model: its name is also the stem of its weights file, its value everything needed to build it again.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from safetensors.torch import load_file, save

from ..datasets.errors import InputError
from ..datasets.files import write_atomic

FORMAT = "segattr-bundle"
VERSION = 1
SHIPPED = Path(__file__).parent


@dataclass(frozen=True)
class Bundle:
    """A checked bundle: ``info`` is the content of bundle.json, ``folder`` where it lies."""

    folder: Path
    info: dict

    @property
    def parts(self) -> dict[str, dict]:
        return self.info["parts"]

    @property
    def card(self) -> dict:
        return self.info.get("card", {})

    @property
    def fingerprint(self) -> str:
        """One hash over the architecture and all weights: equal fingerprints predict equally."""
        said = msgspec.json.encode({"parts": self.parts, "files": self.info["files"]}, order="sorted")
        return hashlib.sha256(said).hexdigest()[:16]

    def part(self, name: str) -> dict:
        """The description of one part; InputError where the bundle has none of that name."""
        if name not in self.parts:
            found = ", ".join(self.parts) or "none"
            raise InputError(
                f"bundle {self.folder} has no part {name!r} (found: {found}); train it with `segattr train {name}` "
                f"and join the two with --join {self.folder}"
            )
        return self.parts[name]

    def tensors(self, name: str) -> dict[str, torch.Tensor]:
        """The weights of one part as float32 (half-precision files are widened); buffers of integers stay as they are."""
        self.part(name)
        state = load_file(self.folder / f"{name}.safetensors")
        return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}

    @contextmanager
    def described(self, name: str) -> Iterator[None]:
        """Around reading the description of a part. bundle.json has no checksum of its own: what it lacks or has too
        much is said in a sentence, an InputError."""
        try:
            yield
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{self.folder}/bundle.json: parts.{name}: not what this segattr expects ({error}); copy the bundle "
                "again, or upgrade segattr if a newer one wrote it"
            ) from error

    def load_into(self, name: str, model: torch.nn.Module, without: str | None = None) -> torch.nn.Module:
        """Fill ``model`` with the part's weights, those left out whose name starts with ``without``; InputError where
        names or shapes do not fit the architecture."""
        given = self.tensors(name)
        if without is not None:
            given = {key: value for key, value in given.items() if not key.startswith(without)}
        try:
            model.load_state_dict(given)
        except RuntimeError as error:
            raise InputError(
                f"bundle {self.folder}: {name}.safetensors does not fit the architecture in bundle.json "
                f"({str(error).splitlines()[-1].strip()}); the two files come from different trainings: copy both again"
            ) from error
        return model

    def start_from(self, name: str, model: torch.nn.Module) -> int:
        """Fill ``model`` with those weights of the part whose name and shape it shares, for training to go on from:
        the heads of another schema start anew. Returns how many of its tensors were filled; InputError for fewer than
        half."""
        wanted = model.state_dict()
        given = {k: v for k, v in self.tensors(name).items() if k in wanted and v.shape == wanted[k].shape}
        if len(given) < len(wanted) / 2:
            raise InputError(
                f"--init {self.folder}: {len(given)} of the model's {len(wanted)} tensors are in its {name} part; expected "
                "a bundle of the same encoder (--model.encoder) and architecture"
            )
        model.load_state_dict(given, strict=False)
        return len(given)


def read_bundle(model: str | Path) -> Bundle:
    """Open the bundle shipped under the name ``model`` (for example ``"default"``) or lying in the folder ``model``.

    Raises InputError for a missing folder, a missing or altered file (SHA-256), or a bundle.json that is none.
    """
    folder = Path(model)
    if not folder.is_dir() and (SHIPPED / str(model) / "bundle.json").is_file() and folder.name == str(model):
        folder = SHIPPED / str(model)
    described = folder / "bundle.json"
    if not folder.is_dir():
        raise InputError(
            f"no bundle at {model!s}: expected the folder that `segattr train` wrote, or the name 'default'"
        )
    if not described.is_file():
        raise InputError(
            f"{folder} is no bundle: it has no bundle.json; expected the folder that `segattr train` wrote"
        )
    info = _read_info(described)
    for name, expected in info["files"].items():
        _check_file(folder, name, expected)
    return Bundle(folder, info)


def _read_info(path: Path) -> dict:
    try:
        info = msgspec.json.decode(path.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not JSON ({error}); copy the bundle again") from error
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        raise InputError(f'{path}: expected "format": "{FORMAT}"; this is not the bundle.json of a segattr bundle')
    if info.get("version") != VERSION:
        raise InputError(
            f"{path}: bundle version {info.get('version')!r}, this segattr reads version {VERSION}; "
            "upgrade segattr or train the bundle again"
        )
    parts, files = info.get("parts"), info.get("files")
    if not isinstance(parts, dict) or not isinstance(files, dict) or set(files) != {f"{p}.safetensors" for p in parts}:
        raise InputError(
            f"{path}: 'files' must list one NAME.safetensors for every entry of 'parts'; copy the bundle again"
        )
    return info


def _check_file(folder: Path, name: str, expected: str) -> None:
    path = folder / name
    if path.name != name or not path.is_file():
        raise InputError(f"bundle {folder}: {name} is missing; copy the bundle again")
    with open(path, "rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if found != expected:
        raise InputError(
            f"bundle {folder}: {name} was altered (SHA-256 {found[:12]}..., bundle.json says {str(expected)[:12]}...); "
            "copy the bundle again"
        )


def write_bundle(
    folder: str | Path,
    parts: Mapping[str, dict],
    states: Mapping[str, Mapping[str, torch.Tensor]],
    card: Mapping,
    *,
    half: bool = False,
) -> Bundle:
    """Write a bundle that is whole or absent: beside ``folder`` first, then renamed onto it.

    ``states[name]`` holds the weights of ``parts[name]``. ``half`` stores floats as float16 (half the size; they are
    widened on reading). BatchNorm's step counters are kept as they are.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir()
    try:
        files = {}
        for name in parts:
            weights = save(_storable(states[name], half))
            (temporary / f"{name}.safetensors").write_bytes(weights)
            files[f"{name}.safetensors"] = hashlib.sha256(weights).hexdigest()
        info = {"format": FORMAT, "version": VERSION, "parts": dict(parts), "files": files, "card": dict(card)}
        (temporary / "bundle.json").write_bytes(_text(info))
        _replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return read_bundle(folder)


def rewrite_card(bundle: Bundle, card: Mapping) -> Bundle:
    """Put another card into bundle.json, in one step. Parts and weights stay as they are, and so does the fingerprint."""
    write_atomic(bundle.folder / "bundle.json", _text(bundle.info | {"card": dict(card)}))
    return read_bundle(bundle.folder)


def _text(info: dict) -> bytes:
    return msgspec.json.format(msgspec.json.encode(info), indent=2) + b"\n"


def _storable(state: Mapping[str, torch.Tensor], half: bool) -> dict[str, torch.Tensor]:
    kept = {}
    for key, value in state.items():
        value = value.detach().cpu()
        kept[key] = (value.half() if half and value.is_floating_point() else value).clone().contiguous()
    return kept


def _replace_folder(new: Path, target: Path) -> None:
    # A folder cannot be replaced in one step: the old one steps aside first, so that no moment shows half of each.
    old = target.with_name(f".{target.name}.{secrets.token_hex(4)}.old")
    if target.exists():
        os.replace(target, old)
    os.replace(new, target)
    shutil.rmtree(old, ignore_errors=True)

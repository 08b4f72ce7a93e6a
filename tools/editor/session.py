"""One sitting of the editor: open the project, take in what files say, tell how far it is, export at the end."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from ...datasets.editing import rebase
from ...datasets.errors import InputError
from ...datasets.schema import Schema, schema_defects, shown
from .export import write_export
from .importing import import_coco, import_out, read_checked
from .records import STATES
from .store import Store, exists, work_folder

_WORDS = {"todo": "to do", "drafted": "drafted", "accepted": "accepted", "rejected": "rejected"}
_LISTED = 5


def open_store(out: Path, images: Path | None, begin_with: Path | None) -> Store:
    """The project beside `out`. images: the image folder; left out, an existing project's own, else the folder of the
    file that the project begins with. Raises InputError where the folder cannot be used."""
    folder = work_folder(out)
    if images is None and not exists(folder):
        images = out.parent if out.exists() or begin_with is None else begin_with.parent
    if images is not None and not images.is_dir():
        raise InputError(f"{images}: no such folder; expected the one that file names start from (--images).")
    return Store(folder, images=images)


def take_in(store: Store, out: Path, begin_with: Path | None, images: Path | None) -> None:
    """What --out and --from say that the project does not have yet. Raises InputError for files with defects."""
    warned: list[str] = []
    done = import_out(store, out, warned.append)
    _tell([f"warning: {defect}" for defect in warned])
    _tell_kept(out, done.kept)
    if begin_with is None:
        return
    warned.clear()
    coco = read_checked(begin_with, warned.append)
    _tell([f"warning: {defect}" for defect in warned])
    root = Path(os.path.abspath(images or begin_with.parent))
    rebased = rebase(coco, root, store.images)
    if rebased is None:
        raise InputError(
            f"{begin_with}: its photos start from {root} and lie outside {store.images}, where those of "
            f"{store.project.title} start from; give the folder of all with --images, or choose another --out."
        )
    done = import_coco(store, rebased)
    print(f"{begin_with}: {done.added} photos taken in")


def _tell(lines: list[str]) -> None:
    for line in lines[:_LISTED]:
        print(f"segattr: {line}", file=sys.stderr)
    if len(lines) > _LISTED:
        print(f"segattr: ... and {len(lines) - _LISTED} more such", file=sys.stderr)


def _tell_kept(out: Path, kept: list[str]) -> None:
    if kept:
        more = f" and {len(kept) - _LISTED} more" if len(kept) > _LISTED else ""
        what = "another program changed photos that were edited here too; the edits here count, and an export"
        print(f"segattr: note: {out}: {what} writes them: {', '.join(kept[:_LISTED])}{more}", file=sys.stderr)


def tell(store: Store) -> None:
    """How far the project is, and what is wrong with its files and photos."""
    counted = Counter(one.state for one in store.index.values())
    states = ", ".join(f"{counted[state]} {_WORDS[state]}" for state in STATES)
    print(f"{store.project.title}: {sum(counted.values())} photos: {states}")
    _tell(list(store.problems.values()))
    _tell([fault for key in list(store.index) if (fault := store.fault(store.photo(key)))])


def export(store: Store, out: Path, which: str) -> None:
    """Write --out and say what is in it; where there is nothing to write yet, `out` stays as it is."""
    states = STATES if which == "all" else ("accepted",)
    if not any(one.state in states for one in store.index.values()):
        print(f"{out}: not written, no photo is accepted yet; what was done is kept in {store.folder.name}")
        return
    done = write_export(store, out, states)
    kind = "" if which == "all" else "accepted "
    print(f"{out}: {done['photos']} {kind}photos and {done['annotations']} annotations written")
    if "kept" in done:
        print(
            f"segattr: note: {out} had been changed by another program; that version is {done['kept']}", file=sys.stderr
        )
    if store.images != Path(os.path.abspath(out.parent)):
        print(f"{out}: train with --images {store.images}")


def set_schema(store: Store, file: Path) -> None:
    """Make the categories and attributes of a file the project's. Photos keep what they say; what no longer fits is
    pointed out when somebody accepts or exports it. Raises InputError."""
    try:
        said = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); expected JSON with categories.") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{file}: {error}; expected an object with categories, attribute_schema or both.") from error
    if not said.keys() & {"categories", "attribute_schema"}:
        raise InputError(f"{file}: expected an object with categories, attribute_schema or both.")
    for where, message in schema_defects(said.get("attribute_schema")):
        raise InputError(f"{file}: attribute_schema{where}: {message}")
    if "categories" in said:
        before = {*store.project.category_names, *store.project.removed}
        store.project.categories = _categories(store.project.categories, said["categories"], file)
        store.project.removed = sorted(before - set(store.project.category_names))
    if "attribute_schema" in said:
        store.project.attribute_schema = Schema.from_json(said["attribute_schema"], str(file)).to_json()
    store.write_project()


def _categories(ours: list[dict[str, Any]], said: Any, file: Path) -> list[dict[str, Any]]:
    """The categories of a file, those that we know under their ids."""
    if not isinstance(said, list):
        raise InputError(f"{file}: categories: found {shown(said)}, expected a list of objects with a name.")
    known = {category["name"]: category for category in reversed(ours)}
    taken = {category["id"] for category in ours}
    found: dict[str, dict[str, Any]] = {}
    for i, entry in enumerate(said):
        entry = {"name": entry} if isinstance(entry, str) else entry
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name or name in found:
            raise InputError(
                f"{file}: categories[{i}]: found {shown(entry)}, expected an object with a name of its own."
            )
        id_ = known[name]["id"] if name in known else entry.get("id")
        if name not in known and (type(id_) is not int or id_ < 1 or id_ in taken):
            id_ = max(taken, default=0) + 1
        taken.add(id_)
        found[name] = known.get(name, {}) | {k: v for k, v in entry.items() if k != "id"} | {"id": id_, "name": name}
    return list(found.values())

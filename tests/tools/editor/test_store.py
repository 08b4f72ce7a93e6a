"""The store: an edit is there or not, never half; what cannot be read is told; nobody writes over another."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading

import msgspec
import pytest
from PIL import Image

from segattr.datasets import masks
from segattr.datasets.errors import InputError
from segattr.tools.editor.records import (
    CorruptError,
    FullError,
    GoneError,
    StaleError,
    UnknownError,
    photo_key,
)
from segattr.tools.editor.session import set_schema
from segattr.tools.editor.store import Store


def saved(store, key):
    return (store.folder / "photos" / f"{key}.json").read_bytes()


def rle(mask):
    return masks.encode(mask)


def test_an_edit_is_kept_with_a_new_revision(store, key, edit, tools):
    a = key("a.png")
    mask = rle(tools.disc(40, 30, 5))
    instance = {"id": 1, "category": "hat", "attributes": {"color": ["blue", "red"]}, "segmentation": mask}
    after = store.save(a, edit(a, instances=[instance], state="accepted", comment="ok"))
    assert (after.revision, after.touched) == (2, True)
    folder = store.folder
    store.close()
    with Store(folder) as again:
        photo = again.photo(a)
        assert photo == after and photo.comment == "ok" and photo.state == "accepted"
        assert photo.instances[0].segmentation.plain() == mask
        # What the browser left out is as it was.
        assert photo.instances[0].score == 0.9 and photo.instances[0].probabilities["color"]["red"] == 0.6
        assert again.index[a].state == "accepted"


def test_nothing_changed_is_no_revision(store, key, edit):
    a = key("a.png")
    before = saved(store, a)
    assert store.save(a, edit(a)).revision == 1 and saved(store, a) == before


def test_a_stale_edit_is_refused_and_the_current_record_told(store, key, edit):
    a = key("a.png")
    mine, theirs = edit(a, comment="mine"), edit(a, comment="theirs")
    store.save(a, theirs)
    before = saved(store, a)
    with pytest.raises(StaleError, match="changed elsewhere") as refused:
        store.save(a, mine)
    assert refused.value.current.comment == "theirs" and saved(store, a) == before
    # The person chose to overwrite: the same edit on the current revision.
    mine.revision = refused.value.current.revision
    assert store.save(a, mine).comment == "mine"


def test_an_edit_sent_twice_because_the_answer_was_lost_is_no_conflict(store, key, edit):
    a = key("a.png")
    mine = edit(a, state="accepted")
    assert store.save(a, mine).revision == 2
    assert store.save(a, mine).revision == 2


def test_of_many_writers_at_once_one_wins_each_revision(store, key, edit):
    a = key("a.png")
    edits = [edit(a, comment=f"{i}") for i in range(16)]
    results = []

    def write(one):
        try:
            results.append(store.save(a, one).comment)
        except StaleError:
            results.append(None)

    threads = [threading.Thread(target=write, args=(one,)) for one in edits]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len([r for r in results if r is not None]) == 1 and store.photo(a).revision == 2


WRITER = """
import sys, msgspec
from pathlib import Path
from segattr.tools.editor.store import Store
from segattr.tools.editor.records import Edit, wire
store = Store(Path(sys.argv[1]))
key = sys.argv[2]
while True:
    photo = store.photo(key)
    edit = msgspec.convert(msgspec.to_builtins(wire(photo, False)) | {"comment": "x" * (photo.revision % 5000)}, Edit)
    print(store.save(key, edit).revision, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 7, 40])
def test_kill_9_loses_at_most_the_edit_in_flight(store, key, lines):
    a, folder = key("a.png"), store.folder
    store.close()
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder), a], stdout=subprocess.PIPE, text=True)
    for _ in range(lines):
        told = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    rest = process.communicate()[0].split("\n")
    told = max([told, *(int(line) for line in rest[:-1])])
    with Store(folder) as again:
        photo = again.photo(a)
        assert photo.revision in (told, told + 1) and not again.problems
        assert photo.comment == "x" * ((photo.revision - 1) % 5000)
        assert not list(folder.rglob("*.tmp"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_on_a_full_disk_the_old_record_stays(store, key, edit, monkeypatch, number):
    a = key("a.png")
    before = saved(store, a)

    def full(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("segattr.datasets.files.os.replace", full)
    with pytest.raises(FullError, match="disk is full"):
        store.save(a, edit(a, comment="new"))
    monkeypatch.undo()
    assert saved(store, a) == before and store.index[a].comment == "" and not list(store.folder.rglob("*.tmp"))
    assert store.save(a, edit(a, comment="new")).revision == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: b"{}",
        lambda data: b"[]",
        lambda data: b"\xff\xfe" + data,
        lambda data: b"\0" * len(data),
        lambda data: data.replace(b'"revision":1', b'"revision":"1"'),
        lambda data: data.replace(b'"key":"a', b'"key":"x'),
        lambda data: data.replace(b'"size":[60,80]', b'"size":[60,81]'),
        lambda data: data.replace(b'"counts":"', b'"counts":"1'),
        lambda data: b"[" * 100_000,
    ],
)
def test_a_spoiled_record_is_told_and_kept_never_opened_as_empty(store, key, edit, spoil):
    a, path = key("a.png"), store.folder / "photos" / f"{key('a.png')}.json"
    mine, good = edit(a, comment="mine"), path.read_bytes()
    path.write_bytes(spoil(good))
    bad = path.read_bytes()
    assert bad != good
    with pytest.raises(CorruptError, match=re.escape(path.name)):
        store.save(a, mine)
    store.close()
    with Store(store.folder) as again:
        assert list(again.problems) == [a] and a not in again.index and len(again.index) == 2
        with pytest.raises(CorruptError):
            again.photo(a)
        with pytest.raises(CorruptError):
            list(again.photos())
        assert not again.wants_draft("photos/a.png") and path.read_bytes() == bad
        path.write_bytes(good)  # restored while the server runs
        assert again.photo(a).revision == 1 and not again.problems and a in again.index


def test_a_spoiled_project_is_refused(store):
    path, good = store.folder / "project.json", (store.folder / "project.json").read_text()
    store.close()
    project = json.loads(good)
    for bad in (
        "",
        good[:-9],
        json.dumps(project | {"version": 99}),
        json.dumps(project | {"categories": [{"id": 1, "name": ""}]}),
        json.dumps(project | {"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}),
        json.dumps(project | {"attribute_schema": [{"name": "color"}]}),
    ):
        path.write_text(bad)
        with pytest.raises(InputError, match=re.escape("project.json")):
            Store(store.folder)
        assert path.read_text() == bad
    path.unlink()
    with pytest.raises(InputError, match=re.escape("no project.json")):
        Store(store.folder)


def test_one_process_at_a_time(store):
    with pytest.raises(InputError, match="another segattr annotate works there"):
        Store(store.folder)
    folder = store.folder
    store.close()
    Store(folder).close()


def test_keys_are_safe_and_tell_hostile_names_apart():
    names = [
        "a.jpg", "A.jpg", "b/a.jpg", "../a.jpg", "../../etc/passwd", "<script>alert(1)</script>.png", "x" * 300,
        "\u00e9t\u00e9.jpg", "e\u0301te\u0301.jpg", "衣服.jpg", "a\nb.jpg", "con", "", ".", "a%2f..%2fb.jpg", "\u202egpj.a",
    ]  # fmt: skip
    keys = [photo_key(name) for name in names] + [photo_key("a.jpg", 2)]
    assert len({key.lower() for key in keys}) == len(keys)
    assert all(re.fullmatch(r"[a-z0-9-]{1,60}", key) for key in keys)


@pytest.mark.parametrize("key", ["", "..", "../project", "nope", "a/b", "%00", "x" * 5000])
def test_an_unknown_key_is_no_path(store, key):
    with pytest.raises(UnknownError):
        store.photo(key)


def test_a_photo_that_vanished_or_changed_takes_no_masks_but_can_be_rejected(store, key, edit, tools, tmp_path):
    a = key("a.png")
    drawn = edit(a, instances=[{"id": 1, "category": "hat", "segmentation": rle(tools.disc(9, 9, 5))}])
    path = tmp_path / "photos" / "a.png"
    for spoil in (
        lambda: Image.new("RGB", (81, 60)).save(path),
        lambda: path.write_bytes(b"no photo"),
        path.unlink,
        lambda: path.symlink_to("/etc/hostname"),
    ):
        spoil()
        with pytest.raises(GoneError, match=re.escape("a.png")):
            store.save(a, drawn)
        with pytest.raises(GoneError):
            store.save(a, edit(a, state="accepted"))
    after = store.save(a, edit(a, state="rejected", comment="the photo is gone"))
    assert after.state == "rejected" and len(after.instances) == 1


def test_ids_of_annotations_are_given_once(store, key, edit, tools):
    b, new = key("b.png"), {"id": 7, "category": "hat", "segmentation": rle(tools.disc(9, 9, 5))}
    first, second = msgspec.to_builtins(store.photo(b).instances)
    after = store.save(b, edit(b, instances=[first, new]))
    assert {i: o.annotation_id for i, o in after.origins.items()} == {1: 2, 2: 3, 7: 4}
    # Undo brings the deleted instance back with what the file said of it.
    after = store.save(b, edit(b, instances=[first, second, new]))
    assert after.origins[2].annotation_id == 3 and after.origins[2].position == 2


def test_a_category_deleted_from_the_schema_blocks_acceptance_not_work(store, key, edit, tmp_path):
    b = key("b.png")
    before = store.photo(b)
    (tmp_path / "schema.json").write_text(
        json.dumps({"categories": ["shirt", "scarf"], "attribute_schema": [{"name": "fit", "kind": "number"}]})
    )
    set_schema(store, tmp_path / "schema.json")
    assert [(c["id"], c["name"]) for c in store.project.categories] == [(2, "shirt"), (6, "scarf")]
    assert store.photo(b).instances == before.instances  # nothing is lost
    first, second = msgspec.to_builtins(before.instances)
    assert store.save(b, edit(b, comment="hm")).comment == "hm"
    with pytest.raises(InputError, match=r"instance 1, attributes\.pattern: is not in attribute_schema"):
        store.save(b, edit(b, state="accepted"))
    first["attributes"] = {}
    store.save(b, edit(b, instances=[first, second]))  # mended one by one
    with pytest.raises(InputError, match=re.escape("instance 2, category: 'hat' is not in the schema (shirt, scarf)")):
        store.save(b, edit(b, state="accepted"))
    with pytest.raises(InputError, match="'belt'"):  # a new mistake is no old one
        store.save(b, edit(b, instances=[first | {"category": "belt"}, second]))
    second["category"] = "scarf"
    assert store.save(b, edit(b, instances=[first, second], state="accepted")).state == "accepted"


def test_an_empty_mask_can_be_saved_but_not_accepted(store, key, edit, tools):
    a = key("a.png")
    empty = {"id": 1, "category": "hat", "segmentation": rle(tools.disc(0, 0, -1) & False)}
    assert store.save(a, edit(a, instances=[empty])).revision == 2
    with pytest.raises(InputError, match="cannot be accepted: instance 1, segmentation: the mask is empty"):
        store.save(a, edit(a, instances=[empty], state="accepted"))


def test_moved_photos_are_found_by_images(store, key, tmp_path):
    folder, a = store.folder, key("a.png")
    store.close()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "photos").rename(tmp_path / "elsewhere" / "photos")
    with Store(folder) as again:
        assert again.fault(again.photo(a))
    with Store(folder, images=tmp_path / "elsewhere") as again:
        assert again.fault(again.photo(a)) is None
    with Store(folder) as again:
        assert again.fault(again.photo(a)) is None

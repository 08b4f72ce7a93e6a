"""COCO in, COCO out: nothing is lost, nothing is written over, training takes the file."""

import json
import re
import warnings

import msgspec
import numpy as np
import pytest
from pycocotools.coco import COCO

from segattr.datasets import masks
from segattr.datasets.coco import read_coco, write_coco
from segattr.datasets.convert import cvat, fashionpedia, labelstudio
from segattr.datasets.convert.notes import Notes
from segattr.datasets.errors import InputError
from segattr.tools.editor import export as exporting
from segattr.tools.editor import importing
from segattr.tools.editor.export import to_coco, write_export
from segattr.tools.editor.importing import import_coco, import_out, read_checked
from segattr.tools.editor.records import STATES, CorruptError, FullError
from segattr.tools.editor.session import export, set_schema, take_in
from segattr.tools.editor.store import Store, work_folder


def everything(tools, tmp_path):
    """A file with whatever COCO allows: polygons with several parts, RLE as text and as a list, a box alone, a crowd,
    unknown keys at every level, ids with gaps and out of order, names that hurt."""
    names = ["<script>alert(1)</script>.png", "été ☃.png", "deep/er/a b.png", "x" * 200 + ".png", "none.png"]
    for i, name in enumerate(names):
        tools.photo(tmp_path / "photos" / name, seed=i)
    ids = [7, 3, 40, 12, 1]
    images = [
        {"id": id_, "file_name": f"photos/{name}", "width": 80, "height": 60, "license": 3, "source_id": [id_]}
        for id_, name in zip(ids, names, strict=True)
    ]
    runs = masks.counts(masks.encode(tools.disc(30, 30, 12))).tolist()
    two = [[5, 5, 20, 5, 20, 20, 5, 20], [40.5, 30, 60, 30.25, 50, 50]]
    rows = [
        tools.annotation(90, 3, tools.disc(20, 20, 9), attributes={"color": ["blue", "red"], "length": 3}, note="mine"),
        {
            "id": 4,
            "image_id": 7,
            "category_id": 5,
            "segmentation": two,
            "bbox": [5, 5, 55, 45],
            "area": 420.5,
            "iscrowd": 0,
        },
        {"id": 31, "image_id": 40, "category_id": 2, "segmentation": {"size": [60, 80], "counts": runs}, "iscrowd": 0}
        | {"bbox": [18, 18, 25, 25], "area": 441, "review": "done", "palette": [{"hex": "#ffffff", "share": 1.0}]},
        {
            "id": 2,
            "image_id": 3,
            "category_id": 2,
            "segmentation": [],
            "bbox": [1, 2, 30.5, 40],
            "area": 99,
            "iscrowd": 0,
        },
        tools.annotation(5, 12, tools.disc(40, 30, 20) & ~tools.disc(40, 30, 9), iscrowd=1, score=0.25)
        | {"probabilities": {"category": {"shirt": 0.5}}, "<b>key</b>": {"../": None}, "mask_grade": "C"},
    ]
    return tools.head(
        info={"description": "<i>all</i>", "year": 2026},
        licenses=[{"id": 3, "name": "CC0"}],
        images=images,
        annotations=rows,
        my_key={"kept": [1, None]},
    )


@pytest.fixture
def full(tools, tmp_path):
    data = everything(tools, tmp_path)
    path = tmp_path / "everything.json"
    path.write_text(json.dumps(data))
    with Store(work_folder(tmp_path / "out.json"), images=tmp_path) as store:
        done = import_coco(store, read_checked(path), unmarked="accepted")
        assert done.added == 5
        yield store, data


def exported(store, out, states=STATES):
    write_export(store, out, states)
    return json.loads(out.read_text())


def test_what_came_in_goes_out_as_it_was(full, tmp_path):
    store, data = full
    written = exported(store, tmp_path / "out.json")
    assert written["images"][4].pop("review") == "todo"  # the photo without annotations
    assert written == data
    folder = store.folder
    store.close()
    with Store(folder) as again:  # and after a restart
        written = exported(again, tmp_path / "out.json")
        assert written["images"][4].pop("review") == "todo" and written == data


def test_a_project_begun_from_an_export_is_the_same_project(full, tmp_path, edit_of):
    store, _ = full
    names = sorted(store.index)
    store.save(names[0], edit_of(store, names[0], state="rejected", comment="<b>no</b>"))
    store.save(names[1], edit_of(store, names[1], state="drafted"))
    nothing = next(key for key, one in store.index.items() if not one.instances)
    store.save(nothing, edit_of(store, nothing, state="accepted"))
    first = exported(store, tmp_path / "out.json")
    with Store(work_folder(tmp_path / "second.json"), images=tmp_path) as second:
        import_coco(second, read_checked(tmp_path / "out.json"), unmarked="accepted")
        assert {k: (o.state, o.comment) for k, o in second.index.items()} == {
            k: (o.state, o.comment) for k, o in store.index.items()
        }
        assert exported(second, tmp_path / "second.json") == first


@pytest.fixture
def edit_of():
    from segattr.tools.editor.records import Edit, wire

    def make(store, key, **changes):
        record = msgspec.json.decode(msgspec.json.encode(wire(store.photo(key), False)))
        return msgspec.convert(record | changes, Edit)

    return make


def test_an_edited_instance_is_exact_and_a_reference_reader_agrees(full, tmp_path, tools, edit_of, capsys):
    store, data = full
    key = next(k for k, one in store.index.items() if one.file_name.startswith("photos/deep"))
    mask = tools.disc(40, 30, 22) & ~tools.disc(36, 30, 6)  # a hole
    mask[2:5, 2:5] = True  # a second part
    record = msgspec.to_builtins(store.photo(key).instances)
    record[0]["segmentation"] = masks.encode(mask)
    new = {"id": 2, "category": "hat", "segmentation": masks.encode(tools.disc(10, 50, 4)), "attributes": {"color": []}}
    store.save(key, edit_of(store, key, instances=[*record, new]))
    written = exported(store, tmp_path / "out.json")
    coco = COCO(str(tmp_path / "out.json"))
    capsys.readouterr()
    assert (coco.annToMask(coco.anns[31]).astype(bool) == mask).all()
    assert coco.anns[31]["area"] == mask.sum() and coco.anns[31]["bbox"] == list(masks.xywh(masks.encode(mask)))
    # Its id and the unknown keys stay; the palette was measured under the old mask.
    assert coco.anns[31]["review"] == "done" and "palette" not in coco.anns[31]
    assert coco.anns[91]["category_id"] == 5 and coco.anns[91]["image_id"] == 40
    assert (coco.annToMask(coco.anns[91]).astype(bool) == tools.disc(10, 50, 4)).all()
    others = [a for a in written["annotations"] if a["id"] not in (31, 91)]
    assert others == [a for a in data["annotations"] if a["id"] != 31]
    for annotation in coco.anns.values():
        if annotation["segmentation"]:
            assert coco.annToMask(annotation).shape == (60, 80)
    assert not [d for d in importing.find_defects(tmp_path / "out.json", tmp_path) if d.fatal]


def test_only_accepted_photos_unless_asked(store, key, edit, tmp_path):
    out = tmp_path / "catalog.json"
    with pytest.raises(InputError, match="no photo is accepted yet"):
        write_export(store, out)
    assert not out.exists()
    store.save(key("b.png"), edit(key("b.png"), state="accepted"))
    store.save(key("c.png"), edit(key("c.png"), state="rejected", comment="two people"))
    assert write_export(store, out) == {"path": str(out), "photos": 1, "annotations": 2}
    coco = read_coco(out)
    assert [(i.file_name, i.extra) for i in coco.images] == [("photos/b.png", {})]
    assert [(a.id, a.attributes) for a in coco.annotations] == [(2, {"pattern": "striped"}), (3, {})]
    write_export(store, out, STATES)
    assert [i.extra for i in read_coco(out).images] == [
        {"review": "draft"},
        {},
        {"review": "rejected", "review_comment": "two people"},
    ]


def test_the_other_tools_dialects_take_the_export_and_give_it_back(store, key, edit, tmp_path, capsys):
    for name in ("a.png", "b.png"):
        store.save(key(name), edit(key(name), state="accepted"))
    write_export(store, tmp_path / "catalog.json")
    coco = read_coco(tmp_path / "catalog.json")
    for module, there in (
        (cvat, cvat.to_cvat),
        (labelstudio, lambda c: labelstudio.to_labelstudio(c, Notes())),
        (fashionpedia, fashionpedia.to_fashionpedia),
    ):
        path = tmp_path / "other.json"
        write_coco(path, there(read_coco(tmp_path / "catalog.json")))
        loaded = COCO(str(path))
        assert len(loaded.imgs) == 2 and len(loaded.anns) == 3
        capsys.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            back = module.read(path, Notes(), tmp_path)
        with Store(work_folder(tmp_path / f"{module.__name__}.json"), images=tmp_path) as second:
            import_coco(second, back)
            again = to_coco(second, STATES)
        assert [a.attributes for a in again.annotations] == [a.attributes for a in coco.annotations]
        for one, other in zip(again.annotations, coco.annotations, strict=True):
            size = coco.image_by_id[1]
            assert masks.to_rle(one.segmentation, size.height, size.width) == other.segmentation


# Refusals


def test_what_training_would_refuse_is_not_written(store, key, edit, tmp_path):
    out = tmp_path / "catalog.json"
    store.save(key("b.png"), edit(key("b.png"), state="accepted"))
    write_export(store, out)
    before = out.read_bytes()
    (tmp_path / "schema.json").write_text(json.dumps({"categories": [{"name": "shirt"}]}))
    set_schema(store, tmp_path / "schema.json")
    with pytest.raises(InputError, match=r"b\.png: instance 2, category: 'hat' is not in the schema"):
        write_export(store, out)
    assert out.read_bytes() == before and len(store.photo(key("b.png")).instances) == 2


def test_a_spoiled_record_stops_the_export(store, key, edit, tmp_path):
    out = tmp_path / "catalog.json"
    store.save(key("b.png"), edit(key("b.png"), state="accepted"))
    write_export(store, out)
    before = out.read_bytes()
    (store.folder / "photos" / f"{key('b.png')}.json").write_text("")
    with pytest.raises(CorruptError, match=re.escape(key("b.png"))):
        write_export(store, out)
    store.close()
    with Store(store.folder) as again, pytest.raises(CorruptError):
        write_export(again, out)
    assert out.read_bytes() == before


def test_a_full_disk_leaves_the_last_export(store, key, edit, tmp_path, monkeypatch):
    out = tmp_path / "catalog.json"
    store.save(key("b.png"), edit(key("b.png"), state="accepted"))
    write_export(store, out)
    before = out.read_bytes()
    store.save(key("a.png"), edit(key("a.png"), state="accepted"))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("segattr.datasets.files.os.replace", full)
    with pytest.raises(FullError, match=re.escape("catalog.json")):
        write_export(store, out)
    monkeypatch.undo()
    assert out.read_bytes() == before and not list(tmp_path.glob(".*.tmp"))


def test_what_another_program_wrote_to_out_is_kept(store, key, edit, tmp_path):
    out = tmp_path / "catalog.json"
    store.save(key("b.png"), edit(key("b.png"), state="accepted"))
    out.write_text("somebody's work")
    done = write_export(store, out)
    assert (store.folder / "replaced" / "catalog-1.json").read_text() == "somebody's work"
    assert done["kept"].endswith("catalog-1.json")
    assert "kept" not in write_export(store, out)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["annotations"][0].update(category_id=99), "annotations[0].category_id"),
        (lambda d: d["annotations"][1]["segmentation"].update(counts="1"), "annotations[1].segmentation"),
        (lambda d: d["annotations"][0].update(attributes={"color": "red"}), "annotations[0].attributes.color"),
        (lambda d: d["images"][0].update(file_name="../../etc/passwd"), "images[0].file_name"),
        (lambda d: d["images"][0].update(file_name="/etc/passwd"), "images[0].file_name"),
        (lambda d: d["images"][0].update(id=2), "images[1].id"),
        (lambda d: d.pop("categories"), "categories"),
    ],
)
def test_a_file_with_defects_is_listed_and_nothing_taken_in(catalog, tmp_path, change, said, capsys):
    data = json.loads(catalog.read_text())
    change(data)
    data["annotations"][2]["iscrowd"] = 7  # a second one: all are listed
    catalog.write_text(json.dumps(data))
    with (
        Store(work_folder(tmp_path / "new.json"), images=tmp_path) as store,
        pytest.raises(InputError) as refused,
    ):
        take_in(store, tmp_path / "new.json", catalog, tmp_path)
    text = str(refused.value)
    assert said in text and "annotations[2].iscrowd" in text and not store.index
    listed = [str(defect) for defect in importing.find_defects(catalog) if defect.fatal]
    assert text.split("\n  ") == listed


# Taking in


def test_taking_in_twice_adds_nothing(store, catalog):
    files = {path: path.read_bytes() for path in store.folder.rglob("*.json")}
    done = import_coco(store, read_checked(catalog))
    assert (done.added, done.refreshed, done.kept) == (0, 0, [])
    assert {path: path.read_bytes() for path in store.folder.rglob("*.json")} == files


def test_killed_while_taking_in_the_rest_comes_with_the_next_start(catalog, tmp_path, monkeypatch):
    coco = read_checked(catalog)
    with Store(work_folder(tmp_path / "x.json"), images=tmp_path) as store:
        write, count = store.write, 0

        def dies(photo):
            nonlocal count
            count += 1
            if count == 2:
                raise KeyboardInterrupt
            write(photo)

        monkeypatch.setattr(store, "write", dies)
        with pytest.raises(KeyboardInterrupt):
            import_coco(store, coco)
    with Store(work_folder(tmp_path / "x.json")) as store:
        assert len(store.index) == 1 and import_coco(store, read_checked(catalog)).added == 2
        written = exported(store, tmp_path / "x.json")
    data = json.loads(catalog.read_text())
    assert [a["id"] for a in written["annotations"]] == [a["id"] for a in data["annotations"]]


def test_what_a_person_touched_is_not_taken_from_a_file(store, key, edit, catalog, tmp_path, tools, capsys):
    mine = store.save(key("a.png"), edit(key("a.png"), comment="mine", instances=[]))
    data = json.loads(catalog.read_text())
    data["annotations"][1]["attributes"] = {"pattern": "solid"}
    catalog.write_text(json.dumps(data))
    for existing, refreshed in (("keep", 0), ("redraft", 1), ("refresh", 0)):
        done = import_coco(store, read_checked(catalog), existing=existing)
        assert (done.added, done.refreshed) == (0, refreshed)
        assert done.kept == ([] if existing == "keep" else ["photos/a.png"])
        assert store.photo(key("a.png")) == mine
    assert store.photo(key("b.png")).instances[0].attributes == {"pattern": "solid"}


def test_redrafting_spares_what_was_decided(store, key, edit, catalog):
    store.save(key("b.png"), edit(key("b.png"), state="accepted"))
    assert not store.wants_draft("photos/b.png", again=True) and store.wants_draft("./photos/a.png", again=True)
    assert not store.wants_draft("photos/a.png") and store.wants_draft("photos/new.png")


def test_out_that_another_tool_changed_comes_back_in(store, key, edit, tmp_path):
    out = tmp_path / "catalog.json"
    write_export(store, out, STATES)
    assert import_out(store, out).refreshed == 0
    data = json.loads(out.read_text())
    data["annotations"][0]["attributes"] = {"color": ["blue"]}
    data["annotations"][1]["attributes"] = {}
    out.write_text(json.dumps(data))
    store.save(key("a.png"), edit(key("a.png"), comment="at work"))
    done = import_out(store, out)
    assert (done.refreshed, done.kept) == (1, ["photos/a.png"])
    assert store.photo(key("b.png")).instances[0].attributes == {}
    assert store.photo(key("a.png")).instances[0].attributes == {"color": ["red"]}
    assert import_out(store, out).kept == []  # told once


def test_a_finished_file_as_out_is_finished_work(catalog, tmp_path):
    with Store(work_folder(catalog), images=tmp_path) as store:
        import_out(store, catalog)
        assert sorted(one.state for one in store.index.values()) == ["accepted", "accepted", "todo"]


def test_a_photo_listed_twice_is_two_records(tmp_path, tools):
    data = everything(tools, tmp_path)
    data["images"].append(data["images"][0] | {"id": 50, "file_name": "./" + data["images"][0]["file_name"]})
    data["annotations"].append(tools.annotation(91, 50, tools.disc(9, 9, 5)))
    path = tmp_path / "twice.json"
    path.write_text(json.dumps(data))
    with Store(work_folder(tmp_path / "out.json"), images=tmp_path) as store:
        assert import_coco(store, read_checked(path), unmarked="accepted").added == 6
        assert import_coco(store, read_checked(path), unmarked="accepted").added == 0
        written = exported(store, tmp_path / "out.json")
    assert written["annotations"] == data["annotations"] and [i["id"] for i in written["images"]][-1] == 50


def test_a_second_file_joins_by_name(store, tmp_path, tools):
    tools.photo(tmp_path / "photos" / "new.png")
    second = {
        "images": [{"id": 1, "file_name": "photos/new.png", "width": 80, "height": 60}],
        "categories": [{"id": 5, "name": "shirt"}, {"id": 2, "name": "scarf"}],
        "annotations": [
            tools.annotation(1, 1, tools.disc(9, 9, 5), category_id=5, attributes={"color": ["green"]}),
            tools.annotation(2, 1, tools.disc(30, 30, 5), category_id=2),
        ],
        "attribute_schema": [
            {"name": "color", "kind": "multi", "values": ["green"]},
            {"name": "fit", "kind": "number"},
        ],
    }
    path = tmp_path / "second.json"
    path.write_text(json.dumps(second))
    import_coco(store, read_checked(path))
    coco = to_coco(store, STATES)
    assert [(c.id, c.name) for c in coco.categories] == [(2, "shirt"), (5, "hat"), (6, "scarf")]
    assert coco.schema["color"].values == ("red", "blue", "green") and "fit" in coco.schema
    assert [i.id for i in coco.images] == [1, 2, 3, 4] and [a.id for a in coco.annotations] == [1, 2, 3, 4, 5]
    assert [coco.category_by_id[a.category_id].name for a in coco.annotations[3:]] == ["shirt", "scarf"]
    second["attribute_schema"][0] = {"name": "color", "kind": "single", "values": ["green"]}
    second["annotations"], second["images"][0]["file_name"] = [], "photos/newer.png"
    path.write_text(json.dumps(second))
    with pytest.raises(InputError, match="'color' is multi in the project and single in the file"):
        import_coco(store, read_checked(path))


def test_a_product_of_which_only_a_box_is_known_is_its_box(full):
    store, _ = full
    key = next(k for k, one in store.index.items() if "☃" in one.file_name)
    box = masks.decode(store.photo(key).instances[1].segmentation.plain())
    expected = np.zeros((60, 80), np.uint8)
    expected[2:42, 1:32] = 1
    assert (box == expected).all()


def test_a_category_that_was_taken_out_is_not_brought_back(store, catalog, tmp_path, tools, key):
    (tmp_path / "schema.json").write_text(json.dumps({"categories": ["shirt"]}))
    set_schema(store, tmp_path / "schema.json")
    data = json.loads(catalog.read_text())
    data["annotations"][2]["attributes"] = {"color": ["red"]}
    tools.photo(tmp_path / "photos" / "d.png")
    data["images"].append({"id": 9, "file_name": "photos/d.png", "width": 80, "height": 60})
    data["annotations"].append(tools.annotation(9, 9, tools.disc(9, 9, 5), category_id=5))
    catalog.write_text(json.dumps(data))
    for existing in ("keep", "refresh"):
        import_coco(store, read_checked(catalog), existing=existing)
        assert store.project.category_names == ["shirt"]
    assert [i.category for i in store.photo(key("b.png")).instances] == ["shirt", "hat"]
    assert [i.category for i in store.photo(key("d.png")).instances] == ["hat"]
    with pytest.raises(InputError, match=r"d\.png: instance 1, category: 'hat' is not in the schema"):
        write_export(store, tmp_path / "catalog.json", STATES)
    (tmp_path / "schema.json").write_text(json.dumps({"categories": ["shirt", "hat"]}))
    set_schema(store, tmp_path / "schema.json")
    assert write_export(store, tmp_path / "catalog.json", STATES)["annotations"] == 4


def test_names_of_another_folder_are_rebased_or_refused(store, catalog, tmp_path, tools, capsys):
    tools.photo(tmp_path / "photos" / "deep" / "d.png")
    row = {"images": [{"id": 1, "file_name": "d.png", "width": 80, "height": 60}], "categories": [], "annotations": []}
    (tmp_path / "photos" / "deep" / "deep.json").write_text(json.dumps(row))
    take_in(store, tmp_path / "catalog.json", tmp_path / "photos" / "deep" / "deep.json", None)
    assert "photos/deep/d.png" in [one.file_name for one in store.index.values()]
    outside = tmp_path.parent / f"{tmp_path.name}-outside.json"
    outside.write_text(json.dumps(row))
    with pytest.raises(InputError, match="--images"):
        take_in(store, tmp_path / "catalog.json", outside, None)


def test_the_end_of_a_sitting_writes_what_was_accepted(store, key, edit, tmp_path, capsys):
    out = tmp_path / "catalog.json"
    export(store, out, "accepted")
    assert "not written" in capsys.readouterr().out and not out.exists()
    store.save(key("b.png"), edit(key("b.png"), state="accepted"))
    export(store, out, "accepted")
    assert "1 accepted photos and 2 annotations" in capsys.readouterr().out
    export(store, out, "all")
    assert len(read_coco(out).images) == 3
    assert exporting.digest(out) == store.project.seen

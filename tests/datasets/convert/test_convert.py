"""All formats together: what is written comes back, the dispatch, photos that are missing."""

import copy
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from segattr.datasets import masks
from segattr.datasets.coco import Annotation, Category, CocoFile, Image, annotation_rle, read_coco, to_json, write_coco
from segattr.datasets.convert import Notes, present, read, write
from segattr.datasets.errors import InputError
from segattr.datasets.schema import Attribute, Schema

# A mask of one pixel is drawn by an outline thinner than one.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
FORMS = ["coco", "fashionpedia", "cvat", "labelstudio"]


def plain(coco: CocoFile) -> dict:
    return msgspec.json.decode(msgspec.json.encode(to_json(coco)))


def back(path: Path, form: str) -> tuple[CocoFile, Notes]:
    notes = Notes()
    coco, _ = read(path, form, notes=notes)
    write_coco(path.with_name("strict.json"), coco)
    assert plain(read_coco(path.with_name("strict.json"))) == plain(coco)
    return coco, notes


@pytest.mark.parametrize("form", FORMS)
def test_ours_comes_back_as_it_was(ours, form, tmp_path):
    before = plain(ours)
    write(tmp_path / "f.json", ours, form)
    again, notes = back(tmp_path / "f.json", form)
    assert plain(again) == before == plain(ours)  # and what was given is left alone
    assert not [line for line in notes.lines() if "left out" in line]


@pytest.mark.parametrize("form", FORMS)
def test_ours_without_a_schema_comes_back_as_it_was(ours, form, tmp_path):
    """Such a file may hold any value under any name."""
    ours.schema = Schema()
    ours.annotations[0].attributes = {"who": "me, you", "sizes": [1, 2], "flag": True, "deep": {"a": None}}
    before = plain(ours)
    write(tmp_path / "f.json", ours, form)
    assert plain(back(tmp_path / "f.json", form)[0]) == before


@pytest.mark.parametrize("form", FORMS)
def test_pycocotools_reads_the_same_masks_from_it(ours, form, tmp_path):
    write(tmp_path / "f.json", ours, form)
    theirs = COCO(str(tmp_path / "f.json"))
    shift = 1 if form in ("fashionpedia", "labelstudio") else 0
    for annotation in ours.annotations:
        if annotation.segmentation is None:
            continue
        image = ours.image_by_id[annotation.image_id]
        mask = masks.decode(annotation_rle(annotation, image))
        if form == "labelstudio" and annotation.id == 1:
            mask[2:12, 3:15] = 1  # its outlines fill holes; the mask itself is under segattr
        assert np.array_equal(theirs.annToMask(theirs.anns[annotation.id - shift]), mask)


values = st.lists(st.text("ab,[]\" '", min_size=1, max_size=4), min_size=1, max_size=3, unique=True)


@st.composite
def files(draw) -> CocoFile:
    kinds = draw(st.lists(st.sampled_from(["single", "multi", "number"]), max_size=3))
    categories = [Category(i, f"c{i}") for i in draw(st.lists(st.integers(1, 5), min_size=1, max_size=3, unique=True))]
    schema = Schema(
        Attribute(
            f"a{i}",
            kind,
            () if kind == "number" else tuple(draw(values)),
            categories=draw(st.none() | st.just(tuple(c.name for c in categories[:1]))),
        )
        for i, kind in enumerate(kinds)
    )
    images = [
        Image(i, f"{i}.jpg", 12, 9) for i in draw(st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True))
    ]
    ids = draw(st.lists(st.integers(1, 99), max_size=4, unique=True))
    annotations = []
    for id_ in ids:
        mask = np.zeros((9, 12), np.uint8)
        x, y, w, h = (draw(st.integers(*span)) for span in ((0, 8), (0, 5), (1, 4), (1, 4)))
        mask[y : y + h, x : x + w] = draw(st.sampled_from([1, np.eye(h, w) > 0]))
        category = draw(st.sampled_from(categories))
        annotation = Annotation(
            id_, draw(st.sampled_from(images)).id, category.id, masks.encode(mask), [x, y, w, h], float(mask.sum())
        )
        if draw(st.booleans()):
            annotation.segmentation = [[x, y, x + w, y, x + w, y + h]]
        for attribute in schema:
            if attribute.applies_to(category.name) and draw(st.booleans()):
                annotation.attributes = annotation.attributes | {attribute.name: draw(_value(attribute))}
        annotations.append(annotation)
    return CocoFile(images=images, annotations=annotations, categories=categories, schema=schema)


def _value(attribute: Attribute):
    if attribute.kind == "number":
        return st.integers(-5, 5) | st.floats(-5, 5)
    one = st.sampled_from(attribute.values)
    return one if attribute.kind == "single" else st.lists(one, unique=True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(coco=files(), form=st.sampled_from(FORMS))
def test_any_file_comes_back_as_it_was(coco, form, tmp_path):
    before = plain(coco)
    write(tmp_path / "f.json", coco, form)
    assert plain(back(tmp_path / "f.json", form)[0]) == before


def spots(value, path=()):
    """The paths of all that stands in a decoded JSON."""
    yield path
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from spots(one, (*path, key))


junk = (
    st.none()
    | st.booleans()
    | st.integers(-2, 99)
    | st.text("a1[,", max_size=3)
    | st.lists(st.integers(0, 9), max_size=2)
)
junk |= st.dictionaries(st.sampled_from(["id", "size", "counts", "attributes", "segmentation"]), junk, max_size=2)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), form=st.sampled_from(FORMS))
def test_a_file_that_was_damaged_is_read_well_or_refused(ours, data, form, tmp_path):
    write(tmp_path / "f.json", ours, form)
    damaged = msgspec.json.decode((tmp_path / "f.json").read_bytes())
    for _ in range(data.draw(st.integers(1, 2))):
        *path, last = data.draw(st.sampled_from(list(spots(damaged))[1:]))
        at = damaged
        for step in path:
            at = at[step]
        at[last] = data.draw(junk)
    (tmp_path / "f.json").write_bytes(msgspec.json.encode(damaged))
    try:
        coco, _ = back(tmp_path / "f.json", form)
    except InputError:
        return
    for target in FORMS:
        write(tmp_path / f"{target}.json", coco, target)


def test_formats_can_be_chained(ours, tmp_path):
    before = plain(ours)
    for form in FORMS[1:] + FORMS:
        write(tmp_path / "f.json", ours, form)
        ours, _ = back(tmp_path / "f.json", form)
    assert plain(ours) == before


def test_photos_that_are_missing_are_counted_or_left_out(ours, tmp_path):
    (tmp_path / "a.jpg").touch()
    notes = Notes()
    assert present(ours, tmp_path, notes, drop=False) is ours
    assert notes.lines() == [f"photos that are not in {tmp_path} (kept): 2, first at sub/b ü.jpg"]
    left = present(copy.deepcopy(ours), tmp_path, notes, drop=True)
    assert [image.id for image in left.images] == [1] and [a.id for a in left.annotations] == [1, 8]


@pytest.mark.parametrize(
    "form, options, words",
    [
        ("nope", {}, "no format 'nope'; expected one of ccp,"),
        ("cvat", {"labels": Path("x")}, "--labels with ccp or imaterialist only"),
        ("coco", {"schema": Schema()}, "--schema with cvat only"),
        ("coco", {"images": Path("no/such")}, "no/such is not a folder"),
        ("coco", {}, "does not exist"),
        ("ccp", {}, "label_list.mat does not exist"),
        ("deepfashion2", {}, "holds no .json"),
        ("imaterialist", {}, "label_descriptions.json cannot be read"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(form, options, words, tmp_path):
    with pytest.raises(InputError, match=words):
        read(tmp_path / "none", form, **options)


def test_a_file_without_photos_is_refused(put):
    path = put("f.json", {"images": [], "annotations": [], "categories": []})
    with pytest.raises(InputError, match="no photo is left"):
        read(path, "coco")


def test_a_target_that_is_none_is_refused(ours, tmp_path):
    with pytest.raises(InputError, match="no format 'yolo'; expected one of coco, fashionpedia"):
        write(tmp_path / "f.json", ours, "yolo")

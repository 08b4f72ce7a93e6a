"""The short way into a file without defects reads what the careful way reads, and takes no file with a defect."""

import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segattr.datasets import masks
from segattr.datasets.clean import clean_rows
from segattr.datasets.coco import as_read, from_document, read_coco
from segattr.datasets.document import decode_document
from segattr.datasets.errors import InputError
from segattr.datasets.rle_batch import compressed_areas
from segattr.datasets.validate import document_defects

RLE = masks.encode(np.eye(6, 8, dtype=np.uint8))
BASE = {
    "info": {"year": 2026},
    "images": [{"id": i, "file_name": f"{i}.jpg", "width": 8, "height": 6, "sender": "a"} for i in (1, 2)],
    "categories": [{"id": 1, "name": "hat"}, {"id": 2, "name": "shoes"}],
    "attribute_schema": [
        {"name": "color", "kind": "multi", "values": ["red", "blue"]},
        {"name": "fit", "kind": "single", "values": ["slim"], "categories": ["hat"]},
    ],
    "annotations": [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 1,
            "segmentation": RLE,
            "bbox": [0, 0, 6, 6.5],
            "area": 6,
            "iscrowd": 0,
        },
        {"id": 2, "image_id": 2, "category_id": 2, "segmentation": [[1, 1, 5, 1, 5, 5]], "score": 0.5, "extra": 1},
        {
            "id": 7,
            "image_id": 1,
            "category_id": 1,
            "bbox": [1, 1, 2, 2],
            "attributes": {"color": ["red"], "fit": "slim"},
        },
        {"id": 4, "image_id": 1, "category_id": 2, "segmentation": {"size": [6, 8], "counts": [5, 3, 40]}, "x y": None},
    ],
}
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 9)
    | st.sampled_from([2**63, 2**70, 1.0, 0.5, -1e300])
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def both_ways(path, text: bytes, renumber=False):
    path.write_bytes(text)
    document = decode_document(path, text)
    return clean_rows(path, text, annotation_ids=not renumber), document


def places(value, where=()):
    yield where
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*where, key))


def test_a_sound_file_goes_the_short_way_and_says_the_same(tmp_path):
    text = json.dumps(BASE).encode()
    clean, document = both_ways(tmp_path / "f.json", text)
    assert clean is not None and document_defects(document) == []
    found = read_coco(tmp_path / "f.json")
    # The others have no mask, or it was asked for, to fill in what was missing.
    assert [as_read(one) for one in found.annotations] == [True, False, False, False]
    assert found == from_document(document)
    assert found.annotations[0].bbox == [0, 0, 6, 6.5] and type(found.annotations[0].bbox[0]) is int
    assert found.annotations[3].extra == {"x y": None}
    assert not as_read(found.annotations[0])  # the comparison has asked for it


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=250, deadline=None)
@given(data=st.data(), renumber=st.booleans())
def test_the_short_way_takes_no_defect_and_reads_the_same(tmp_path_factory, data, renumber):
    changed = copy.deepcopy(BASE)
    *outer, last = data.draw(st.sampled_from([where for where in places(BASE) if where]))
    inner = changed
    for key in outer:
        inner = inner[key]
    if data.draw(st.booleans()):
        inner[last] = data.draw(json_values)
    else:
        del inner[last]
    path = tmp_path_factory.mktemp("clean") / "f.json"
    text = json.dumps(changed).encode()
    clean, document = both_ways(path, text, renumber)
    defects = document_defects(document, annotation_ids=not renumber)
    if clean is None:
        return
    assert defects == []
    assert read_coco(path, renumber=renumber) == from_document(document, renumber=renumber)


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{}", b'{"annotations": [', b'{"annotations": null}', b'{"annotations": [NaN]}', b"\xff\xfe{"],
)
def test_what_is_no_coco_file_is_left_to_the_careful_way(tmp_path, text):
    assert both_ways(tmp_path / "f.json", text)[0] is None


def test_a_key_that_only_some_rows_have_is_kept(tmp_path):
    many = copy.deepcopy(BASE)
    many["annotations"] = [BASE["annotations"][0] | {"id": i} | ({"late": i} if i > 5 else {}) for i in range(1, 9)]
    clean, _ = both_ways(tmp_path / "f.json", json.dumps(many).encode())
    assert clean is not None and clean.extra_keys == ("late",)
    assert [one.extra for one in read_coco(tmp_path / "f.json").annotations[4:6]] == [{}, {"late": 6}]


counts = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32)).map(
    lambda hws: (hws[0], hws[1], masks.encode(np.random.default_rng(hws[2]).random(hws[:2]) < 0.5)["counts"])
)
garbled = st.tuples(
    counts, st.integers(0, 40), st.text(st.characters(min_codepoint=40, max_codepoint=130), max_size=10)
).map(lambda made: (*made[0][:2], made[0][2][: made[1]] + made[2] + made[0][2][made[1] + 1 :]))


@settings(max_examples=200, deadline=None)
@given(st.lists(counts | garbled, max_size=8))
def test_many_masks_together_are_judged_like_each_alone(rows):
    expected = []
    for height, width, text in rows:
        try:
            expected.append(int(masks.counts({"size": [height, width], "counts": text})[1::2].sum()))
        except InputError:
            expected.append(-1)
    found = compressed_areas([text for *_, text in rows], np.array([h * w for h, w, _ in rows], np.int64))
    assert found.tolist() == expected


def test_more_masks_than_one_piece_of_work(tmp_path):
    rng = np.random.default_rng(0)
    bitmaps = rng.random((300, 40, 30)) < 0.5
    texts = [masks.encode(one)["counts"] for one in bitmaps]
    assert sum(map(len, texts)) > 120_000
    texts[123] = texts[123][:-1]
    found = compressed_areas(texts, np.full(300, 1200))
    expected = bitmaps.sum(axis=(1, 2))
    expected[123] = -1
    assert (found == expected).all()

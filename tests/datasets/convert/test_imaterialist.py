"""iMaterialist: runs from 1 down the columns, against a brute force; both years' CSVs."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segattr.datasets import masks
from segattr.datasets.coco import annotation_rle
from segattr.datasets.convert import Notes, read
from segattr.datasets.convert.imaterialist import decode_pixels
from segattr.datasets.errors import InputError

LABELS = {
    "info": {"year": 2020},
    "categories": [
        {"id": 0, "name": "shirt, blouse", "supercategory": "upperbody", "level": 2},
        {"id": 6, "name": "pants", "supercategory": "lowerbody", "level": 2},
    ],
    "attributes": [
        {"id": 1, "name": "mini", "supercategory": "length", "level": 1},
        {"id": 115, "name": "symmetrical", "supercategory": "silhouette", "level": 1},
        {"id": 4, "name": "maxi", "supercategory": "length", "level": 1},
    ],
}
COLUMNS = ["ImageId", "EncodedPixels", "Height", "Width", "ClassId"]


def brute_force(text: str, height: int, width: int) -> np.ndarray:
    """Pixel by pixel, as the competition describes it: 1 is the top left, 2 the one below."""
    mask = np.zeros((height, width), np.uint8)
    numbers = [int(word) for word in text.split()]
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        for pixel in range(start, start + length):
            if pixel <= height * width:
                mask[(pixel - 1) % height, (pixel - 1) // height] = 1
    return mask


@settings(deadline=None)
@given(
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    runs=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 9)), max_size=5),
)
def test_runs_are_what_the_brute_force_says(height, width, runs):
    text = " ".join(f"{start} {length}" for start, length in runs)
    rle, clipped = decode_pixels(text, height, width)
    assert np.array_equal(masks.decode(rle), brute_force(text, height, width))
    assert clipped == any(length and start + length - 1 > height * width for start, length in runs)
    assert rle == masks.encode(masks.decode(rle))  # in the usual form: runs that touch are one


def test_the_corners():
    assert masks.decode(decode_pixels("1 1", 2, 3)[0]).tolist() == [[1, 0, 0], [0, 0, 0]]
    assert masks.decode(decode_pixels("2 2", 2, 3)[0]).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert masks.decode(decode_pixels("6 1", 2, 3)[0]).tolist() == [[0, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize("text", ["1", "1 2 3", "a b", "0 4", "3 -1", "1.5 2", "9" * 30 + " 1"])
def test_what_are_no_runs(text):
    with pytest.raises(InputError, match="expected"):
        decode_pixels(text, 4, 4)


@given(st.text("0123456789 -.e", max_size=20))
def test_any_text_is_runs_or_refused(text):
    try:
        rle, _ = decode_pixels(text, 5, 4)
    except InputError:
        return
    assert np.array_equal(masks.decode(rle), brute_force(text, 5, 4)) if len(text) < 7 else True


def table(columns, *rows) -> str:
    out = io.StringIO()
    csv.writer(out).writerows([columns, *rows])
    return out.getvalue()


@pytest.fixture
def converted(put):
    """`converted(csv text)` -> the file of ours, the notes."""

    def run(text, labels=LABELS):
        put("label_descriptions.json", labels)
        notes = Notes()
        return read(put("train.csv", text), "imaterialist", notes=notes)[0], notes

    return run


def test_2019_has_attributes_behind_the_class_and_no_suffix_says_nothing(converted):
    coco, notes = converted(
        table(
            COLUMNS, ["a.jpg", "2 3 8 1", "4", "5", "6_4_115"], ["a.jpg", "1 4", 4, 5, 0], ["b.jpg", "3 2", 3.0, 4, "6"]
        )
    )
    assert not notes
    assert [(i.id, i.file_name, i.height, i.width) for i in coco.images] == [(1, "a.jpg", 4, 5), (2, "b.jpg", 3, 4)]
    assert [(c.id, c.name) for c in coco.categories] == [(1, "shirt, blouse"), (7, "pants")]
    first, second, third = coco.annotations
    assert first.attributes == {"length": ["maxi"], "silhouette": ["symmetrical"]}
    assert second.attributes == {} and third.attributes == {}
    assert (first.image_id, first.category_id, first.area, first.bbox) == (1, 7, 4, [0, 1, 2, 3])
    assert masks.decode(annotation_rle(first, coco.images[0])).tolist() == [
        [0] * 5,
        [1, 0, 0, 0, 0],
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
    ]


def test_2020_has_a_column_for_every_row_and_no_suffix_on_the_photos(converted):
    rows = [["00ab", "1 4", 4, 5, 6, "115,1"], ["00ab", "5 4", 4, 5, 6, ""], ["00cd", "5 4", 4, 5, 0, ""]]
    coco, _ = converted(table([*COLUMNS, "AttributesIds"], *rows))
    assert [i.file_name for i in coco.images] == ["00ab.jpg", "00cd.jpg"]
    assert [a.attributes for a in coco.annotations] == [
        {"length": ["mini"], "silhouette": ["symmetrical"]},
        {"length": [], "silhouette": []},  # pants have attributes, these have none of them
        {},
    ]


def test_every_row_that_is_left_out_is_counted(converted):
    coco, notes = converted(
        table(
            COLUMNS,
            ["a.jpg", "1 4", 4, 5, 6],
            ["a.jpg", "1 4", 4, 5, 9],
            ["a.jpg", "1 4", 5, 4, 6],
            ["a.jpg", "1 4 5", 4, 5, 6],
            ["b.jpg", "", 4, 5, 6],
            ["a.jpg", "19 4", 4, 5, 6],
        )
    )
    assert [a.area for a in coco.annotations] == [4, 2] and [a.id for a in coco.annotations] == [1, 2]
    assert [image.file_name for image in coco.images] == ["a.jpg", "b.jpg"]
    assert [line.split(", first at")[0] for line in notes.lines()] == [
        "rows left out (ClassId is not in label_descriptions.json): 1",
        "rows left out (another size than the photo's first row): 1",
        "rows left out (EncodedPixels are no runs): 1",
        "rows left out (no pixel): 1",
        "masks with runs beyond the photo, cut off there: 1",
    ]
    assert "line 3" in notes.lines()[0]


def test_an_outline_longer_than_the_csv_module_allows(converted):
    pixels = " ".join(f"{i} 1" for i in range(1, 60_000, 2))
    assert len(pixels) > csv.field_size_limit()
    coco, _ = converted(table(COLUMNS, ["a.jpg", pixels, 300, 200, 6]))
    assert coco.annotations[0].area == 30_000 and csv.field_size_limit() == 131072


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "no column ImageId"),
        (table(COLUMNS[:4], ["a", "1 1", 2, 2]), "no column ClassId; expected ImageId, EncodedPixels"),
        (table(COLUMNS, ["a.jpg", "1 4", "x", 5, 6]), 'line 2: Height: found "x", expected a whole number from 1'),
        (table(COLUMNS, ["a.jpg", "1 4", 4, 5, "6_x"]), "line 2: ClassId"),
        (table(COLUMNS, ["", "1 4", 4, 5, "6"]), 'ImageId "" is empty'),
        (table(COLUMNS, ["../a.jpg", "1 4", 4, 5, "6"]), "leaves the image folder"),
        (table(COLUMNS, ["a.jpg", "1 4", 99999, 99999, "6"]), "line 2: .* px"),
        (b"\xff\xfe", "no CSV"),
    ],
)
def test_a_csv_that_is_none(converted, text, words):
    with pytest.raises(InputError, match=words):
        converted(text)


TWICE = [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]


@pytest.mark.parametrize("categories", [5, [{"id": "x", "name": "a"}], [{"id": -1, "name": "a"}], [{"id": 1}], TWICE])
def test_labels_that_are_none(converted, categories):
    with pytest.raises(InputError, match="expected"):
        converted(table(COLUMNS, ["a.jpg", "1 4", 4, 5, 6]), {"categories": categories})

"""Statistics, grouped splits and merges, against counts by hand and by brute force."""

import copy
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segattr.datasets.coco import Annotation, Category, CocoFile, Image, read_coco, write_coco
from segattr.datasets.editing import folds, merge, rebase, sample, split, stats
from segattr.datasets.errors import InputError
from segattr.datasets.schema import Attribute, Schema
from segattr.datasets.validate import find_defects

DATA = Path(os.environ.get("SEGATTR_DATA", Path(__file__).parents[3] / "shared/data"))
COLOR = Attribute("color", "multi", ("red", "blue"))
FIT = Attribute("fit", "single", ("slim", "wide"), categories=("coat",))
LENGTH = Attribute("length", "number", unit="cm")


def annotation(id_, image_id, category_id=1, area=10.0, **more):
    return Annotation(id_, image_id, category_id, more.pop("segmentation", None), [0, 0, 5, 2], area, **more)


def small(name="a", **more):
    return CocoFile(
        images=[Image(4, f"{name}1.jpg", 10, 10, {"who": "x"}), Image(6, f"{name}2.jpg", 20, 10, {"who": "y"})],
        annotations=[
            annotation(1, 4, 3, 25.0, attributes={"color": ["red", "blue"], "fit": "slim"}),
            annotation(2, 4, 5, 50.0, attributes={"color": ["red"]}),
            annotation(7, 4, 3, 90.0, iscrowd=1, attributes={"length": 30}),
        ],
        categories=[Category(3, "coat"), Category(5, "hat")],
        schema=Schema([COLOR, FIT, LENGTH]),
        **more,
    )


def test_stats_count_what_is_there_and_what_is_missing():
    found = stats(small())
    assert (found.images, found.images_without_annotation, found.annotations) == (2, 1, 3)
    assert (found.crowds, found.box_only) == (1, 3)
    assert found.categories == {"coat": 2, "hat": 1}
    assert found.attributes["color"].values == {"red": 2, "blue": 1} and found.attributes["color"].missing == 1
    assert found.attributes["fit"].values == {"slim": 1, "wide": 0}
    assert found.attributes["fit"].missing == 1  # the crowd coat; it does not apply to the hat
    assert found.attributes["length"].numbers["median"] == 30 and found.attributes["length"].missing == 2
    assert found.area_px["min"] == 25 and found.area_px["max"] == 50 and found.area_px["median"] == 37.5
    assert found.area_share["max"] == 0.5


def test_stats_of_an_empty_file_and_of_one_without_a_schema():
    assert stats(CocoFile()).area_px == {}
    coco = small()
    coco.schema = Schema()
    coco.annotations[0].attributes = {"occluded": True, "size": 3.5, "tags": ["a", "b"]}
    found = stats(coco).attributes
    assert found["occluded"].values == {"true": 1} and found["tags"].values == {"a": 1, "b": 1}
    assert found["size"].kind == "number" and found["size"].numbers["max"] == 3.5


# --- split ----------------------------------------------------------------------------------------------------------


def grouped(sizes, categories=3, seed=0):
    """One group of photos per entry of ``sizes``, an annotation each."""
    rng = np.random.default_rng(seed)
    coco = CocoFile(categories=[Category(i + 1, f"c{i}") for i in range(categories)])
    for group, size in enumerate(sizes):
        for _ in range(size):
            n = len(coco.images) + 1
            coco.images.append(Image(n, f"{n}.jpg", 10, 10, {"who": group}))
            coco.annotations.append(annotation(n, n, int(rng.integers(categories)) + 1))
    return coco


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 12), min_size=3, max_size=25), seed=st.integers(0, 5))
def test_no_group_is_in_two_parts_and_nothing_is_lost(sizes, seed):
    coco = grouped(sizes)
    before = copy.deepcopy(coco)
    try:
        parts = split(coco, {"train": 0.6, "val": 0.2, "test": 0.2}, group_by="who", seed=seed)
    except InputError:
        assert len(sizes) < 12  # too few groups to fill three parts
        return
    groups = [{image.extra["who"] for image in part.images} for part in parts.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == len(sizes)
    assert sorted(i.id for part in parts.values() for i in part.images) == [i.id for i in coco.images]
    for part in parts.values():
        ids = {image.id for image in part.images}
        assert part.annotations == [a for a in coco.annotations if a.image_id in ids]
        assert part.categories == coco.categories
        wanted = len(coco.images) * {True: 0.6, False: 0.2}[part is parts["train"]]
        assert abs(len(part.images) - wanted) <= max(sizes) + 1
    assert coco == before


def test_the_same_seed_gives_the_same_parts_and_another_seed_others():
    coco = grouped([1] * 60)
    shares = {"train": 0.8, "val": 0.2}
    ids = [[i.id for i in split(coco, shares, seed=s)["val"].images] for s in (0, 0, 1)]
    assert ids[0] == ids[1] != ids[2]


def test_categories_are_shared_out_evenly_also_the_rare_one():
    coco = grouped([1] * 500, categories=4)
    for i, a in enumerate(coco.annotations):
        a.category_id = 1 if i % 25 == 0 else 2 + i % 3
    val = split(coco, {"train": 0.8, "val": 0.2})["val"]
    counts = Counter(a.category_id for a in val.annotations)
    assert len(val.images) == 100 and counts[1] == 4
    assert all(31 <= counts[c] <= 33 for c in (2, 3, 4))


@pytest.mark.parametrize(
    "shares", [{"train": 1.0, "val": 0.0}, {"train": 0.9, "val": 0.2}, {"train": 1.2, "val": -0.2}]
)
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(InputError, match="expected each above 0 and 1 in all"):
        split(grouped([1] * 10), shares)


def test_a_missing_key_and_an_empty_part_are_explained():
    coco = grouped([5, 1])
    with pytest.raises(InputError, match=r"images\[0\].*has no 'source_id'.*keys of this image: who"):
        split(coco, {"train": 0.8, "val": 0.2}, group_by="source_id")
    with pytest.raises(InputError, match="would be empty: 6 images in 2 groups"):
        split(coco, {"train": 0.8, "val": 0.1, "test": 0.1}, group_by="who")


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 12), min_size=2, max_size=25), count=st.integers(2, 6), seed=st.integers(0, 5))
def test_every_photo_is_in_one_fold_and_no_group_on_both_sides(sizes, count, seed):
    coco = grouped(sizes)
    if count > len(sizes):
        with pytest.raises(InputError, match=f"{count} folds of {sum(sizes)} images in {len(sizes)} groups"):
            folds(coco, count, group_by="who", seed=seed)
        return
    cut = folds(coco, count, group_by="who", seed=seed)
    assert sorted(i.id for _, val in cut for i in val.images) == [i.id for i in coco.images]
    for train, val in cut:
        assert sorted(i.id for part in (train, val) for i in part.images) == [i.id for i in coco.images]
        assert not {i.extra["who"] for i in train.images} & {i.extra["who"] for i in val.images}
        for part in (train, val):
            ids = {image.id for image in part.images}
            assert ids and part.annotations == [a for a in coco.annotations if a.image_id in ids]
        assert abs(len(val.images) - len(coco.images) / count) <= max(sizes) + 1
    assert cut == folds(coco, count, group_by="who", seed=seed)


def test_folds_share_out_the_categories_evenly():
    coco = grouped([1] * 500, categories=4)
    for i, a in enumerate(coco.annotations):
        a.category_id = 1 if i % 25 == 0 else 2 + i % 3
    for _, val in folds(coco, 5):
        counts = Counter(a.category_id for a in val.annotations)
        assert len(val.images) == 100 and counts[1] == 4
        assert all(31 <= counts[c] <= 33 for c in (2, 3, 4))


@pytest.mark.parametrize("count", [-1, 0, 1])
def test_fewer_than_two_folds_are_refused(count):
    with pytest.raises(InputError, match="expected at least 2 folds"):
        folds(grouped([1] * 10), count)


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(1, 12), min_size=1, max_size=20), seed=st.integers(0, 5), data=st.data())
def test_a_sample_is_whole_groups_and_part_of_every_larger_one(sizes, seed, data):
    coco = grouped(sizes)
    small, large = sorted(data.draw(st.integers(1, sum(sizes))) for _ in range(2))
    less, more = (sample(coco, n, group_by="who", seed=seed) for n in (small, large))
    assert {i.id for i in less.images} <= {i.id for i in more.images}
    for part, asked in ((less, small), (more, large)):
        groups = Counter(i.extra["who"] for i in part.images)
        assert groups and all(sizes[group] == n for group, n in groups.items())
        assert abs(len(part.images) - asked) < max(sizes)
        assert [i.id for i in part.images] == sorted(i.id for i in part.images)
        assert {a.image_id for a in part.annotations} == {i.id for i in part.images}
    assert len(sample(coco, small, seed=seed).images) == small  # photo by photo: exactly


def test_a_sample_comes_as_near_as_whole_groups_can_and_follows_the_seed():
    coco = grouped([10] * 10)
    sizes = [len(sample(coco, n, group_by="who").images) for n in (1, 14, 16, 25, 26, 100)]
    assert sizes == [10, 10, 20, 20, 30, 100]
    drawn = [[i.id for i in sample(grouped([1] * 60), 10, seed=s).images] for s in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("images", [-1, 0, 11])
def test_a_sample_of_none_or_of_more_than_there_are_is_refused(images):
    with pytest.raises(InputError, match="expected 1 to 10"):
        sample(grouped([1] * 10), images)


@pytest.mark.real
@pytest.mark.skipif(not DATA.exists(), reason="the photos of ../shared/data are not here")
def test_the_real_catalog_is_split_by_sender():
    coco = read_coco(DATA / "catalog/train.json")
    parts = split(coco, {"train": 0.7, "val": 0.2, "test": 0.1}, group_by="source_id")
    senders = [{i.extra["source_id"] for i in part.images} for part in parts.values()]
    assert not senders[0] & senders[1] and not senders[0] & senders[2] and not senders[1] & senders[2]
    for part, share in zip(parts.values(), (0.7, 0.2, 0.1), strict=True):
        assert abs(len(part.images) / len(coco.images) - share) < 0.01


# --- file names in another folder -----------------------------------------------------------------------------------


def test_names_follow_the_file_into_another_folder(tmp_path):
    coco = CocoFile([Image(1, "images/a.jpg", 1, 1)])
    assert rebase(coco, tmp_path / "x", tmp_path).images[0].file_name == "x/images/a.jpg"
    assert rebase(coco, tmp_path, tmp_path / "images").images[0].file_name == "a.jpg"
    assert rebase(coco, tmp_path, tmp_path) is coco
    assert rebase(coco, tmp_path / "x", tmp_path / "y") is None
    assert coco.images[0].file_name == "images/a.jpg"


# --- merge ----------------------------------------------------------------------------------------------------------


def test_a_merge_numbers_from_1_and_keeps_every_annotation_with_its_photo_and_category(tmp_path):
    a, b = small("a", extra={"tool": "x"}), small("b", extra={"tool": "x", "round": 2})
    b.categories = [Category(3, "bag", {"supercategory": "goods"}), Category(5, "coat", {"note": 1})]
    b.schema = Schema()
    for one in b.annotations:
        one.attributes = {}
    before = copy.deepcopy([a, b])
    merged = merge({"a.json": a, "b.json": b})
    assert [i.id for i in merged.images] == [1, 2, 3, 4] and [x.id for x in merged.annotations] == [1, 2, 3, 4, 5, 6]
    assert [(c.id, c.name, c.extra) for c in merged.categories] == [
        (1, "coat", {"note": 1}),
        (2, "hat", {}),
        (3, "bag", {"supercategory": "goods"}),
    ]

    def facts(coco):
        return Counter(
            (coco.image_by_id[x.image_id].file_name, coco.category_by_id[x.category_id].name, x.area)
            for x in coco.annotations
        )

    assert facts(merged) == facts(a) + facts(b)
    assert merged.extra == {"tool": "x", "round": 2} and merged.info == {"description": "merged from a.json, b.json"}
    assert [a, b] == before
    write_coco(tmp_path / "m.json", merged)
    assert find_defects(tmp_path / "m.json") == []


def test_a_split_file_merges_back_to_the_same_rows():
    coco = grouped([3] * 20)
    parts = split(coco, {"train": 0.7, "val": 0.3}, group_by="who")
    merged = merge(parts)
    rows = [
        [(c.image_by_id[a.image_id].file_name, a.category_id, a.bbox) for a in c.annotations] for c in (coco, merged)
    ]
    assert sorted(rows[0]) == sorted(rows[1])


def test_schemas_join_their_values_and_categories():
    a, b = small("a"), small("b")
    b.schema = Schema(
        [
            Attribute("color", "multi", ("blue", "green")),
            Attribute("fit", "single", ("slim", "loose"), categories=("hat",)),
            Attribute("heel", "number", unit="mm"),
        ]
    )
    b.annotations = []
    schema = merge({"a.json": a, "b.json": b}).schema
    assert schema["color"].values == ("red", "blue", "green")
    assert schema["fit"].values == ("slim", "wide", "loose") and schema["fit"].categories == ("coat", "hat")
    assert [x.name for x in schema] == ["color", "fit", "length", "heel"]
    b.schema = Schema([Attribute("fit", "single", ("slim",))])
    assert merge({"a.json": a, "b.json": b}).schema["fit"].categories is None


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"schema": Schema([Attribute("color", "single", ("red",))])},
            "b.json: attribute 'color' has kind \"single\", in",
        ),
        ({"schema": Schema([Attribute("length", "number", unit="in")])}, 'has unit "in", in a.json "cm"'),
        ({"images": [Image(1, "./a2.jpg", 5, 5)]}, r'b.json: images\[0\].file_name "./a2.jpg" is also in a.json'),
        ({"extra": {"tool": "y"}}, "b.json: top-level key 'tool'"),
        (
            {"images": [Image(1, "c.jpg", 5, 5)], "annotations": [annotation(1, 1, 3, attributes={"fit": "loose"})]},
            r'b.json: annotations\[0\].attributes.fit: found "loose"',
        ),
    ],
)
def test_what_cannot_be_joined_is_named(change, message):
    b = CocoFile(categories=[Category(3, "coat")])
    for key, value in change.items():
        setattr(b, key, value)
    with pytest.raises(InputError, match=message):
        merge({"a.json": small("a", extra={"tool": "x"}), "b.json": b})


def test_licences_are_joined_and_the_photos_follow():
    a = CocoFile(
        [Image(1, "a.jpg", 1, 1, {"license": 2})], licenses=[{"id": 1, "name": "MIT"}, {"id": 2, "name": "CC0"}]
    )
    b = CocoFile(
        [Image(1, "b.jpg", 1, 1, {"license": 7})], licenses=[{"id": 7, "name": "CC0"}, {"id": 9, "name": "BSD"}]
    )
    merged = merge({"a": a, "b": b})
    assert merged.licenses == [{"id": 1, "name": "MIT"}, {"id": 2, "name": "CC0"}, {"id": 3, "name": "BSD"}]
    assert [image.extra["license"] for image in merged.images] == [2, 2]


def test_a_single_file_is_only_numbered_anew():
    merged = merge({"a.json": small(info={"year": 2026})})
    assert merged.info == {"year": 2026} and [i.id for i in merged.images] == [1, 2]
    assert [a.image_id for a in merged.annotations] == [1, 1, 1]

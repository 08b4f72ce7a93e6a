"""The joint AP against a twin made of plain loops, against plain COCO AP where attributes ask nothing, and by hand."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from segattr.attributes.joint import comparable_attributes
from segattr.attributes.joint_ap import JointApMetrics, JointApParams, joint_ap, pairing_joint_ap
from segattr.attributes.joint_sets import attribute_sets, pair_f1, schema_sets
from segattr.datasets import masks
from segattr.datasets.coco import read_coco
from segattr.datasets.errors import InputError
from segattr.datasets.schema import Attribute
from segattr.seg.coco_eval import COCO_KEYS, CocoParams, Objects, coco_numbers, make_objects
from segattr.seg.pairing import pair, read_predictions

SIZE, TOKENS = (60, 150), 9
SPARSE = JointApParams(CocoParams(iou_thrs=(0.5, 0.75, 1.0)), f1_thrs=(0.5, 0.8))


def rectangle(x, y, w, h) -> dict:
    mask = np.zeros(SIZE, np.uint8)
    mask[int(y) : int(y + h), int(x) : int(x + w)] = 1
    return masks.encode(mask)


def random_problem(seed: int):
    """Overlapping truth of one category, crowds, three sizes, tied scores, unknown sets, a photo past 100 detections."""
    rng = np.random.default_rng(seed)
    photos, categories, n = int(rng.integers(1, 4)), int(rng.integers(1, 4)), int(rng.integers(0, 12))
    boxes = np.c_[rng.integers(0, 12, n), rng.integers(0, 8, n), rng.integers(8, 130, n), rng.integers(8, 50, n)]
    image, category = rng.integers(0, photos, n), rng.integers(0, max(1, categories - 1), n)
    crowd, area = rng.random(n) < 0.2, boxes[:, 2] * boxes[:, 3] * rng.choice([1.0, 0.3], n)
    rle = [rectangle(*box) for box in boxes]
    truth = make_objects(image, category, xywh=boxes, rle=rle, area=area, crowd=crowd)
    sets = [None if rng.random() < 0.2 else set(rng.integers(0, TOKENS, rng.integers(0, 4)).tolist()) for _ in range(n)]
    hits = rng.integers(0, n, int(rng.integers(0, 25))) if n else np.zeros(0, int)
    many = 115 if seed % 10 == 0 else int(rng.integers(0, 6))
    wild = np.c_[rng.integers(0, 60, (many, 2)), rng.integers(5, 60, (many, 2))]
    found = np.r_[np.maximum(boxes[hits] + rng.integers(-4, 5, (len(hits), 4)), 1), wild]
    f_image = np.r_[image[hits], np.zeros(many, int)]
    f_category = np.r_[np.where(rng.random(len(hits)) < 0.8, category[hits], 0), rng.integers(-1, categories, many)]
    score = rng.choice([0.1, 0.5, 0.9, rng.random()], len(found))
    detections = make_objects(f_image, f_category, xywh=found, rle=[rectangle(*b) for b in found], score=score)
    f_sets = [set(sets[i] or ()) ^ set(rng.integers(0, TOKENS, rng.integers(0, 2)).tolist()) for i in hits]
    f_sets += [None] * many
    return truth, detections, sets, f_sets, [SIZE] * photos, categories


def twin(truth: Objects, found: Objects, sets, f_sets, photos, categories, kind, params) -> dict[str, np.ndarray]:
    """AP (t, f, category, area) and recall (t, f, category, area, max_dets), one loop for every axis."""
    coco, f1_thrs = params.coco, [-1.0, *params.f1_thrs]
    areas = list(coco.areas.values())
    shape = (len(coco.iou_thrs), len(f1_thrs), categories, len(areas))
    ap, recall = np.full(shape, -1.0), np.full((*shape, 3), -1.0)

    def region(objects, i):
        if kind == "segm":
            return masks.decode(objects.rle[i]).astype(bool)
        x, y, w, h = objects.xywh[i].astype(int)
        whole = np.zeros((200, 300), bool)
        whole[y : y + h, x : x + w] = True
        return whole

    of_truth, of_found = ([region(one, i) for i in range(len(one))] for one in (truth, found))
    sizes = [one.sum() for one in of_found]

    def iou(i, j):
        a, b = of_truth[i], of_found[j]
        return (a & b).sum() / (b.sum() if truth.crowd[i] else (a | b).sum())

    def f1(i, j):
        if sets[i] is None:
            return 2.0
        wanted, said = set(sets[i]), set(f_sets[j] or ())
        return 2 * len(wanted & said) / (len(wanted) + len(said)) if wanted or said else 1.0

    for k in range(categories):
        groups = []
        for photo in range(photos):
            members = [j for j in range(len(found)) if found.image[j] == photo and found.category[j] == k]
            members = sorted(members, key=lambda j: -found.score[j])[:100]
            instances = [i for i in range(len(truth)) if truth.image[i] == photo and truth.category[i] == k]
            fit = {(i, j): (iou(i, j), f1(i, j)) for i in instances for j in members}
            groups.append((instances, members, fit))
        for t, t_iou in enumerate(coco.iou_thrs):
            for f, t_f1 in enumerate(f1_thrs):
                for a, (low, high) in enumerate(areas):
                    rows, total = [], 0
                    for instances, members, fit in groups:
                        out = {i: truth.crowd[i] or not low <= truth.area[i] <= high for i in instances}
                        total += sum(not one for one in out.values())
                        free = set(instances)
                        for rank, j in enumerate(members):
                            good = [i for i in free if fit[i, j][0] >= min(t_iou, 1 - 1e-10) and fit[i, j][1] >= t_f1]
                            good = [i for i in good if not out[i]] or good
                            if good:
                                best = max(good, key=lambda i: (fit[i, j][0], i))
                                free -= set() if truth.crowd[best] else {best}
                                rows.append((found.score[j], rank, True, out[best]))
                            else:
                                rows.append((found.score[j], rank, False, not low <= sizes[j] <= high))
                    if not total:
                        continue
                    rows.sort(key=lambda row: -row[0])
                    judged = [hit for _, _, hit, ignored in rows if not ignored]
                    right = np.cumsum(judged) if judged else np.zeros(0)
                    levels = []
                    for at in np.linspace(0, 1, 101):
                        levels.append(max((n / (p + 1) for p, n in enumerate(right) if n / total >= at), default=0.0))
                    ap[t, f, k, a] = np.mean(levels)
                    for m, most in enumerate(coco.max_dets):
                        hits = sum(hit and not ignored for _, rank, hit, ignored in rows if rank < most)
                        recall[t, f, k, a, m] = hits / total
    return {"ap": ap, "recall": recall}


@pytest.mark.parametrize("kind", ["segm", "bbox"])
def test_equals_plain_loops(kind):
    for seed in range(24):
        truth, found, sets, f_sets, sizes, categories = random_problem(seed)
        metric = JointApMetrics(categories, kind=kind, params=SPARSE)
        metric.update(truth, found, sets, f_sets, sizes)
        result = metric.compute()
        expected = twin(truth, found, sets, f_sets, len(sizes), categories, kind, SPARSE)
        for name, values in expected.items():
            np.testing.assert_allclose(getattr(result.cells, name), values, atol=1e-9, err_msg=f"seed {seed}, {name}")


def test_without_constraint_it_is_coco():
    """Unknown attributes, and the slice without F1 threshold: the twelve numbers of pycocotools, digit by digit."""
    for seed in range(40, 80):
        truth, found, sets, f_sets, sizes, categories = random_problem(seed)
        for kind in ("segm", "bbox"):
            wanted = coco_numbers(truth, found, sizes=sizes, categories=categories, kind=kind, engine="pycocotools")
            got = joint_ap(truth, found, [None] * len(truth), f_sets, sizes=sizes, categories=categories, kind=kind)
            np.testing.assert_allclose([got[k] for k in COCO_KEYS], [wanted[k] for k in COCO_KEYS], atol=1e-9)
            assert got["APattr"] == -1 and got["categories_with_attributes"] == 0
            metric = JointApMetrics(categories, kind=kind)
            metric.update(truth, found, sets, f_sets, sizes)
            plain = metric.compute().cells.ap[:, 0, :, 0]
            assert (plain[plain > -1].mean() if (plain > -1).any() else -1) == pytest.approx(wanted["AP"], abs=1e-9)


def test_by_hand():
    """Two hats, both masks perfect. One has 2 of 3 colours right and none wrong (F1 .8), the other all (F1 1), at lower
    score; a shoe without known attributes is found whatever is said of it."""
    rle = [rectangle(x, 5, 20, 20) for x in (0, 30, 60)]
    truth = make_objects([0, 0, 0], [0, 0, 1], rle=rle)
    found = make_objects([0, 0, 0], [0, 0, 1], rle=rle, score=[0.9, 0.8, 0.7])
    numbers = joint_ap(truth, found, [{0, 1, 2}, {3}, None], [{0, 1}, {3}, {4}], sizes=[SIZE], categories=2)
    # t_f1 .50 ... .80: both right. .85, .90, .95: the first is wrong, so precision is 1/2 up to recall 1/2 and 0 beyond.
    hats = (7 * 1 + 3 * 0.5 * 51 / 101) / 10
    assert numbers["APattr"] == pytest.approx(hats) and numbers["AP"] == pytest.approx((hats + 1) / 2)
    assert numbers["AP_F175"] == numbers["AP_IOU50_F175"] == numbers["AP_IOU75_F150"] == pytest.approx(1)
    assert [numbers[key] for key in ("AP50", "AP75", "APs")] == pytest.approx([numbers["AP"]] * 3)
    assert numbers["AR100"] == pytest.approx(((7 * 1 + 3 * 0.5) / 10 + 1) / 2) and numbers["APl"] == -1
    assert numbers["AR1"] == pytest.approx((7 * 0.5 / 10 + 1) / 2) and numbers["categories_with_attributes"] == 1


def test_a_detection_takes_what_its_attributes_fit():
    """Two true instances share a place; the mask fits the first better, the attributes only the second."""
    truth = make_objects([0, 0], [0, 0], rle=[rectangle(0, 0, 20, 20), rectangle(0, 0, 22, 20)])
    found = make_objects([0, 0], [0, 0], rle=[rectangle(0, 0, 20, 20)] * 2, score=[0.9, 0.8])
    right = joint_ap(truth, found, [{0}, {1}], [{1}, {0}], sizes=[SIZE], categories=1)
    assert right["AP50"] == pytest.approx(1)  # AP75 too: 400 / 440 px
    assert joint_ap(truth, found, [{0}, {1}], [{1}, {1}], sizes=[SIZE], categories=1)["AR100"] == pytest.approx(0.45)
    # of two that fit equally well it takes the last one, as COCO has it
    truth = make_objects([0, 0], [0, 0], rle=[rectangle(0, 0, 20, 20)] * 2)
    for second, ap in (({1}, 51 / 101), ({0}, 1)):
        numbers = joint_ap(truth, found, [{0}, {1}], [{0, 1}, second], sizes=[SIZE], categories=1)
        assert numbers["AP_IOU50_F150"] == pytest.approx(ap)


def test_f1_counts_known_attributes_only():
    schema = [
        Attribute("color", "multi", ("red", "blue")),
        Attribute("pattern", "single", ("solid", "dotted")),
        Attribute("length", "number", unit="cm"),
    ]
    truth = schema_sets(
        schema,
        [
            {"color": ["red", "blue"], "length": 3.0},  # pattern unknown: nothing said of it is wrong
            {"color": [], "pattern": "solid"},  # no colour, and known to have none
            {"length": 3.0},  # a number asks nothing
            {"color": ["red"], "pattern": None},
        ],
    )
    said = [{"color": ["red"], "pattern": "solid"}, {"color": ["red"], "pattern": "solid"}, {}, {"color": ["mauve"]}]
    found = schema_sets(schema, said, predicted=True)
    rows = np.arange(4)
    np.testing.assert_allclose(pair_f1(truth, found, rows, rows), [2 / 3, 2 / 3, np.inf, 0])
    both_empty = attribute_sets([set()], 3), attribute_sets([None], 3)
    assert pair_f1(*both_empty, np.zeros(1, int), np.zeros(1, int)) == 1
    wide = attribute_sets([{0, 63, 64, 293}], 294), attribute_sets([{63, 293}], 294)
    assert pair_f1(*wide, np.zeros(1, int), np.zeros(1, int)) == pytest.approx(2 * 2 / 6)


def test_batches_and_processes_give_the_same():
    truth, found, sets, f_sets, sizes, categories = random_problem(20)
    whole = joint_ap(truth, found, sets, f_sets, sizes=sizes, categories=categories)

    def part(photos: list[int]) -> JointApMetrics:
        metric = JointApMetrics(categories)
        for photo in photos:
            mine, theirs = (np.flatnonzero(one.image == photo) for one in (truth, found))
            objects = [one.select(rows) for one, rows in ((truth, mine), (found, theirs))]
            objects = [replace(one, image=np.zeros_like(one.image)) for one in objects]
            own = [sets[i] for i in mine], [f_sets[j] for j in theirs]
            metric.update(*objects, *own, [SIZE], image_ids=[photo])
        return metric

    photos = list(range(len(sizes)))
    merged = pickle.loads(pickle.dumps(part(photos[1:]))).merge(part([*photos[:1], photos[-1]]))
    assert merged.compute().numbers == whole  # the repeated photo counts once, ties keep the order of the ids
    empty = JointApMetrics(2).compute().numbers
    assert set(empty) == set(whole) and empty["AP"] == -1
    assert joint_ap(truth, found.select(np.zeros(0, int)), sets, [], sizes=sizes, categories=categories)["AP"] == 0


def test_files_on_disk(tmp_path):
    """Through the readers: ids, names, a schema, an attribute that only one side has."""
    schema = [
        {"name": "color", "kind": "multi", "values": ["red", "blue"]},
        {"name": "cut", "kind": "single", "values": ["a"]},
    ]

    def coco(annotations, schema):
        rows = [{"image_id": 1, "segmentation": rectangle(30 * i, 5, 20, 20)} | a for i, a in enumerate(annotations)]
        return {
            "images": [{"id": 1, "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1]}],
            "categories": [{"id": 1, "name": "hat"}, {"id": 2, "name": "shoe"}],
            "annotations": [{"id": i, "score": 0.5} | row for i, row in enumerate(rows, 1)],
            "attribute_schema": schema,
        }

    truth = [{"category_id": 1, "attributes": {"color": ["red"], "cut": "a"}}, {"category_id": 2}]
    found = [
        {"category_id": 1, "attributes": {"color": ["blue"]}},
        {"category_id": 2, "attributes": {"color": ["red"]}},
    ]
    (tmp_path / "gt.json").write_text(json.dumps(coco(truth, schema)))
    (tmp_path / "pred.json").write_text(json.dumps(coco(found, schema[:1])))
    pairing = pair(read_coco(tmp_path / "gt.json"), read_predictions(tmp_path / "pred.json"))
    attributes = comparable_attributes(pairing, [])
    result = pairing_joint_ap(pairing, attributes)
    assert result.numbers["AP"] == pytest.approx(0.5) and result.numbers["APattr"] == 0
    assert [one["constrained"] for one in result.per_category] == [1, 0]
    assert [one["AP"] for one in result.per_category] == pytest.approx([0, 1])
    # one class: the hat's own mask is at fault, the shoe's asks nothing; precision 1/2 at recall 1/2
    assert pairing_joint_ap(pairing, attributes, class_agnostic=True).numbers["AR100"] == pytest.approx(0.5)


def test_refusals():
    box = make_objects([0], [0], xywh=[[0, 0, 5, 5]])
    options = {"sizes": [SIZE], "categories": 1}
    for bad, words in (
        (lambda: joint_ap(box, box, [None], [None], **options), "segm numbers need masks"),
        (lambda: joint_ap(box, box, [None], [], kind="bbox", **options), "1 detections, 0 sets"),
        (lambda: joint_ap(box, box, [{-1}], [None], kind="bbox", **options), "token of -1"),
        (lambda: joint_ap(box, box, [None], [None], kind="bbox", sizes=[SIZE], categories=0), "category index 0"),
        (lambda: JointApParams(f1_thrs=(0.9, 0.5)).grid, "ascending"),
        (lambda: joint_ap(box, box, attribute_sets([None], 1), [None], kind="bbox", **options), "one side only"),
        (lambda: JointApMetrics(1).merge(JointApMetrics(2)), "other categories"),
    ):
        with pytest.raises(InputError, match=words):
            bad()

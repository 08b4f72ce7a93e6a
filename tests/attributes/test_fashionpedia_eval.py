"""The published Fashionpedia evaluator: its known facts, a twin of plain loops, and files in its own form.

Beside this, 200 random problems of ``random_files`` were compared with the published code itself (all rows to 1e-12).
"""

import json

import numpy as np
import pytest

from segattr.attributes.fashionpedia_eval import (
    SUPER_CATEGORIES,
    WITH_ATTRIBUTES,
    fashionpedia_evaluate,
    fashionpedia_numbers,
    macro_f1,
)
from segattr.datasets import masks
from segattr.datasets.errors import InputError

HEIGHT, WIDTH = 120, 160
IDS = [0, 1, 2, *range(200, 220)]  # of attributes; they do not follow each other, as in the real file


def dataset(annotations, attributes=IDS, images=1, categories=range(46)) -> dict:
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": HEIGHT, "width": WIDTH} for i in range(images)],
        "categories": [{"id": i, "name": f"category {i}", "supercategory": ""} for i in categories],
        "attributes": [{"id": i, "name": str(i)} for i in attributes],
        "annotations": [{"id": i, "iscrowd": 0} | one for i, one in enumerate(annotations, 1)],
    }


def region(x, y=0, w=20, h=20) -> dict:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[y : y + h, x : x + w] = 1
    return masks.encode(mask)


def item(category, x=0, attribute_ids=(), image=0, **more) -> dict:
    rle = more.pop("segmentation", None) or region(x)
    shape = {"segmentation": rle, "area": masks.area(rle)}
    return {"image_id": image, "category_id": category, "attribute_ids": list(attribute_ids)} | shape | more


@pytest.fixture
def evaluate(tmp_path):
    def run(truth, results, **options):
        (tmp_path / "gt.json").write_text(json.dumps(truth))
        (tmp_path / "results.json").write_text(json.dumps(results))
        return fashionpedia_evaluate(tmp_path / "gt.json", tmp_path / "results.json", **options)

    return run


def found(items, score=0.5) -> list[dict]:
    return [{"score": score} | {k: v for k, v in one.items() if k != "area"} for one in items]


def random_files(seed: int) -> tuple[dict, list[dict]]:
    """Crowds, overlapping instances of one category, three sizes, ties, attributes shared and swapped."""
    rng = np.random.default_rng(seed)
    images, n = int(rng.integers(1, 4)), int(rng.integers(1, 16))
    pool = rng.choice([0, 5, 12, 13, 26, 27, 28, 33, 45], 3)
    boxes = np.c_[rng.integers(0, 20, (n, 2)), rng.integers(6, [130, 90], (n, 2))]

    def tokens(size=4):
        return sorted({IDS[i] for i in rng.integers(0, 8, rng.integers(0, size))})

    truth, results = [], []
    for x, y, w, h in boxes.tolist():
        one = item(int(rng.choice(pool)), 0, tokens(), int(rng.integers(images)), segmentation=region(x, y, w, h))
        if rng.random() < 0.3:
            one["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        truth.append(one | {"iscrowd": int(rng.random() < 0.2), "area": one["area"] * rng.choice([1.0, 0.4])})
    scores = [0.1, 0.5, 0.9, float(rng.random())]
    for i in rng.integers(0, n, int(rng.integers(1, 40))):
        x, y, w, h = np.maximum(boxes[i] + rng.integers(-4, 5, 4), 1).tolist()
        own = truth[i]["attribute_ids"]
        chosen = sorted(set(own) ^ set(tokens(2))) if rng.random() < 0.8 else tokens()
        category = truth[i]["category_id"] if rng.random() < 0.8 else int(rng.choice(pool))
        one = item(category, 0, chosen, truth[i]["image_id"], segmentation=region(x, y, w, h))
        results += found([one], float(rng.choice(scores)))
    return dataset(truth, images=images), results


def twin(truth: dict, results: list[dict]) -> dict[str, float]:
    """What the published evaluator does, one loop for every axis, for a few of its rows."""
    thresholds = [*np.linspace(0.5, 0.95, 10), -1.0]
    attribute = {one["id"]: i for i, one in enumerate(truth["attributes"])}

    def pixels(one):
        return masks.decode(masks.to_rle(one["segmentation"], HEIGHT, WIDTH)).astype(bool)

    def hot(one):
        return [int(k in one["attribute_ids"]) for k in attribute]

    def f1(a, b):
        per_class = []
        for label in sorted(set(a) | set(b)):
            both = sum(x == y == label for x, y in zip(a, b, strict=True))
            per_class.append(2 * both / (a.count(label) + b.count(label)))
        return sum(per_class) / len(per_class)

    def ap(k, t_iou, t_f1, low=0, high=1e10):
        rows, total = [], 0
        for image in range(len(truth["images"])):
            mine = [one for one in truth["annotations"] if (one["image_id"], one["category_id"]) == (image, k)]
            out = [bool(one["iscrowd"]) or not low <= one["area"] <= high for one in mine]
            order = [i for i in range(len(mine)) if not out[i]] + [i for i in range(len(mine)) if out[i]]
            total += len(mine) - sum(out)
            used: set[int] = set()
            theirs = [one for one in results if (one["image_id"], one["category_id"]) == (image, k)]
            for one in sorted(theirs, key=lambda r: -r["score"])[:100]:
                best, best_iou, best_f1 = None, min(t_iou, 1 - 1e-10), min(t_f1, 1 - 1e-10)
                for i in order:
                    crowd = mine[i]["iscrowd"]
                    if i in used and not (crowd and k not in WITH_ATTRIBUTES):
                        continue
                    if best is not None and not out[best] and out[i]:
                        break
                    a, b = _cached(pixels, one), _cached(pixels, mine[i])
                    iou = (a & b).sum() / (a.sum() if crowd else (a | b).sum())
                    fit = f1(hot(mine[i]), hot(one)) if k in WITH_ATTRIBUTES else 1.0
                    if iou >= best_iou and fit >= best_f1:
                        best, best_iou, best_f1 = i, iou, fit
                if best is None:
                    ignored = not low <= masks.area(one["segmentation"]) <= high
                else:
                    used.add(best)
                    ignored = out[best]
                if not ignored:
                    rows.append((one["score"], best is not None))
        if not total:
            return []
        rows.sort(key=lambda row: -row[0])
        right = np.cumsum([hit for _, hit in rows])
        levels = np.linspace(0, 1, 101)
        return [max((r / (p + 1) for p, r in enumerate(right) if r / total >= at), default=0.0) for at in levels]

    def row(categories, t_ious, t_f1s, **size):
        values: list[float] = []
        for k in categories:
            for t_f1 in t_f1s if k in WITH_ATTRIBUTES else [-1.0]:
                for t_iou in t_ious:
                    values += ap(k, t_iou, t_f1, **size)
        return np.mean(values) if values else -1

    swept, none, used = thresholds[:-1], [-1.0], sorted({one["category_id"] for one in truth["annotations"]})
    return {
        "fashionpedia/iou_f1/AP_IOU50": row(used, [0.5], swept),
        "fashionpedia/iou_f1/AP_F175": row(used, swept, [0.75]),
        "fashionpedia/iou_f1/AP_IOU75_F150": row(used, [0.75], [0.5]),
        "fashionpedia/iou_f1/APo": row([k for k in used if k < 13], swept, swept),
        "fashionpedia/iou/APp": row([k for k in used if k >= 27], swept, none),
        "fashionpedia/iou/APs": row(used, swept, none, high=32**2),
        "fashionpedia/f1/APm": row(used, none, swept, low=32**2, high=96**2),
        "fashionpedia/f1/AP_F150": row(used, none, [0.5]),
    }


def _cached(function, one: dict) -> np.ndarray:
    if "_pixels" not in one:
        one["_pixels"] = function(one)
    return one["_pixels"]


def test_f1_of_published_facts():
    both, truth, predicted = np.array([[2, 3, 2], [1, 3, 1], [0, 3, 0], [0, 0, 0]]).T
    expected = [0.899142, 0.748288, 0.497436, 1.0]
    np.testing.assert_allclose(macro_f1(both, truth, predicted, 294), expected, atol=5e-7)
    # it depends on the length of the list, and all against all has no absent class
    assert macro_f1(np.array([2]), np.array([3]), np.array([2]), 40)[0] == pytest.approx((0.8 + 2 * 37 / 75) / 2)
    assert macro_f1(np.array([5]), np.array([5]), np.array([5]), 5)[0] == 1


def test_equals_plain_loops(evaluate):
    for seed in range(12):
        truth, results = random_files(seed)
        numbers = evaluate(truth, results).numbers
        for key, value in twin(truth, results).items():
            assert numbers[key] == pytest.approx(value, abs=1e-9), (seed, key)


def test_rows(evaluate, tmp_path):
    """The rows of the published tables, and no other."""
    numbers = evaluate(dataset([item(0)]), found([item(0)])).numbers
    assert fashionpedia_numbers(tmp_path / "gt.json", tmp_path / "results.json") == numbers
    both = {f"AP_IOU{t}_F1{f}" for t in (50, 75) for f in (50, 75)}
    sizes = {"AP", "APs", "APm", "APl", "AR@1", "AR@10", "AR@100", "ARs@100", "ARm@100", "ARl@100"}
    tables = {
        "iou_f1": sizes | both | {"AP_IOU50", "AP_IOU75", "AP_F150", "AP_F175", "APo", "APp"},
        "iou": sizes | {"AP_IOU50", "AP_IOU75", "APo", "APa", "APp"},
        "f1": sizes | {"AP_F150", "AP_F175", "APo", "APp"},
    }
    expected = {f"fashionpedia/{part}/{row}" for part, rows in tables.items() for row in rows}
    for name in SUPER_CATEGORIES:
        for part, rows in tables.items():
            if name != "accessory" or part == "iou":
                own = rows - {"APo", "APa", "APp"}
                expected |= {f"fashionpedia/supercls-{name}/{part}/{row}" for row in own}
    assert set(numbers) == expected


def test_categories_with_attributes_weigh_ten_times(evaluate):
    """A jacket (4) with wrong attributes, a hat (15) whose attributes nobody reads: both masks perfect."""
    assert sorted(WITH_ATTRIBUTES) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 28, 29, 31, 32, 33]
    result = evaluate(dataset([item(4, 0, [0, 1, 2]), item(15, 50, [0])]), found([item(4, 0, []), item(15, 50, [1])]))
    numbers = result.numbers
    # F1 of the jacket: present 0, absent 2 * 20 / 43: .465, below every threshold. 10 slices of 0, one of 1.
    assert numbers["fashionpedia/iou_f1/AP"] == pytest.approx(1 / 11)
    assert numbers["fashionpedia/iou_f1/AP_F150"] == pytest.approx(1 / 2)  # a fixed F1: both weigh the same
    assert numbers["fashionpedia/iou/AP"] == pytest.approx(1) and numbers["fashionpedia/iou_f1/APo"] == 0
    assert numbers["fashionpedia/iou/APa"] == pytest.approx(1) and numbers["fashionpedia/iou/APp"] == -1
    assert numbers["fashionpedia/supercls-outerwear/iou/AP"] == pytest.approx(1)
    assert result.per_category["category 4"]["iou_f1"]["AP"] == 0
    assert set(result.per_category["category 15"]) == {"iou"}


def test_without_iou_a_distant_detection_counts(evaluate):
    numbers = evaluate(dataset([item(4, 0, [0])]), found([item(4, 100, [0])])).numbers
    assert numbers["fashionpedia/iou_f1/AP"] == 0 and numbers["fashionpedia/f1/AP"] == pytest.approx(1)


@pytest.mark.parametrize(("category", "expected"), [(4, 0.5), (15, 1.0)])
def test_a_crowd_of_the_eighteen_takes_one_detection(evaluate, category, expected):
    """Two detections on a crowd, one on a product below them: where a crowd is not special the second one is wrong."""
    truth = dataset([item(category, 0, iscrowd=1), item(category, 80)])
    results = found([item(category, 0), item(category, 0)], 0.9) + found([item(category, 80)], 0.5)
    assert evaluate(truth, results).numbers["fashionpedia/iou/AP"] == pytest.approx(expected)


def test_a_match_moves_on_only_where_neither_falls(evaluate):
    """The first detection lies better on the second instance but fits the first one's attributes better; the second
    detection fits the first instance only. So file order decides whether both are right."""
    first, second = item(4, 0, [0]), item(4, 4, [1, 2])
    results = found([item(4, 3, [0, 1])], 0.9) + found([item(4, 0, [0])], 0.8)
    key = "fashionpedia/iou_f1/AP_IOU50_F150"
    assert evaluate(dataset([first, second]), results).numbers[key] == pytest.approx(51 / 101)
    assert evaluate(dataset([second, first]), results).numbers[key] == pytest.approx(1)


def test_form(evaluate):
    """Ids from 0 and no bbox, read as they are; annotation id 0 is never found, as published, and that is said."""
    one = dataset([item(0, 0, [0])])
    assert evaluate(one, found([item(0, 0, [0])])).numbers["fashionpedia/iou_f1/AP"] == pytest.approx(1)
    one["annotations"][0]["id"] = 0
    result = evaluate(one, found([item(0, 0, [0])]))
    assert result.numbers["fashionpedia/iou_f1/AP"] == 0 and "id 0" in result.notes[0]
    # the box of the first result makes all areas: a ring of 396 px in a box of 1600 px is of medium size
    ring = masks.decode(region(0, 0, 40, 40)) ^ masks.decode(region(2, 2, 36, 36))
    ring = item(0, segmentation=masks.encode(ring))
    truth = dataset([ring | {"area": 1600.0}, item(0, 60) | {"area": 1600.0}])
    plain = found([ring], 0.5) + found([item(0, 100)], 0.9)
    boxed = [plain[0] | {"bbox": [0, 0, 40, 40]}, plain[1] | {"bbox": [100, 0, 20, 20]}]
    key = "fashionpedia/iou/APm"
    assert evaluate(truth, plain).numbers[key] == evaluate(truth, boxed).numbers[key] == pytest.approx(51 / 101)
    far = [boxed[0], boxed[1] | {"bbox": [100, 0, 50, 40]}]
    assert evaluate(truth, far).numbers[key] == pytest.approx(51 / 101 / 2)
    assert "areas are those of the boxes" in evaluate(truth, far).notes[0]
    assert evaluate(truth, {"annotations": plain}).numbers[key] == evaluate(truth, plain).numbers[key]
    assert evaluate(truth, []).numbers["fashionpedia/iou_f1/AP"] == 0
    few = evaluate(dataset([item(4)], categories=[4, 60]), found([item(4), item(9)]))
    assert few.numbers["fashionpedia/iou/AP"] == pytest.approx(1)
    assert "45 of Fashionpedia's 46" in few.notes[1] and "1 results of categories" in few.notes[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, r: r[0].pop("attribute_ids"), "has no attribute_ids"),
        (lambda t, r: t["annotations"][0].pop("attribute_ids"), "has no attribute_ids"),
        (lambda t, r: r[0].update(attribute_ids=[150]), "attribute id 150"),
        (lambda t, r: r[0].update(image_id=7), r"\[0\].image_id is 7"),
        (lambda t, r: r[0].update(segmentation={"size": [9, 9], "counts": "1"}), "size"),
        (lambda t, r: r[0].pop("segmentation"), "neither a segmentation nor a bbox"),
        (lambda t, r: r[0].update(score="high"), "score"),
        (lambda t, r: t.pop("attributes"), "attributes"),
        (lambda t, r: t["annotations"].append(t["annotations"][0]), "id 1 stands there twice"),
        (lambda t, r: t["annotations"][0].update(category_id=99), "category"),
    ],
)
def test_bad_files(evaluate, change, words):
    truth, results = dataset([item(4)]), found([item(4)])
    change(truth, results)
    with pytest.raises(InputError, match=words):
        evaluate(truth, results)

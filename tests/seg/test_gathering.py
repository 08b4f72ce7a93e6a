"""Batches and processes against one pairing of everything."""

import json
import pickle

import numpy as np
import pytest

from segattr.attributes.joint import JointConfig, joint_metrics
from segattr.datasets import masks
from segattr.datasets.coco import read_coco
from segattr.datasets.errors import InputError
from segattr.seg.gathering import PairingParts
from segattr.seg.pairing import pair, read_predictions

SCHEMA = [
    {"name": "color", "kind": "multi", "values": ["red", "blue"]},
    {"name": "fit", "kind": "single", "values": ["slim", "wide"]},
]


def rectangle(rng) -> dict:
    mask = np.zeros((60, 80), np.uint8)
    x, y = rng.integers(0, 50, 2)
    mask[y : y + rng.integers(5, 40), x : x + rng.integers(5, 40)] = 1
    return masks.encode(mask)


def random_files(seed: int, photos: int = 8):
    """(truth, predictions) as COCO dicts, by photo: some photos without truth, some without predictions."""
    rng = np.random.default_rng(seed)

    def instance(photo: int, **more) -> dict:
        attributes = {"color": ["red", "blue"][: rng.integers(1, 3)], "fit": ["slim", "wide"][rng.integers(0, 2)]}
        return {"image_id": photo, "category_id": int(rng.integers(1, 4)), "segmentation": rectangle(rng),
                "attributes": attributes if rng.random() < 0.8 else {}, **more}  # fmt: skip

    truth = {
        photo: [instance(photo, iscrowd=int(rng.random() < 0.1)) for _ in range(rng.integers(0, 4))]
        for photo in range(1, photos + 1)
    }
    found = {}
    for photo, ones in truth.items():
        if rng.random() < 0.15:
            continue  # the predictions do not hold it
        kept = [
            instance(photo) | {"segmentation": one["segmentation"], "category_id": one["category_id"]}
            for one in ones
            if rng.random() < 0.7
        ]
        kept += [instance(photo) for _ in range(rng.integers(0, 3))]
        found[photo] = [
            one | {"score": float(rng.random()), "iscrowd": 0, "probabilities": {"fit": {"slim": 0.5, "wide": 0.5}}}
            for one in kept
        ]
    return truth, found


def write(path, by_photo: dict, photos) -> None:
    photos = [photo for photo in photos if photo in by_photo]
    rows = [one for photo in photos for one in by_photo[photo]]
    data = {
        "images": [
            {"id": p, "file_name": f"{p}.jpg", "width": 80, "height": 60, "source_id": f"s{p % 3}"} for p in photos
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(("hat", "shoes", "bag"), 1)],
        "annotations": [{"id": i, **one} for i, one in enumerate(rows, 1)],
        "attribute_schema": SCHEMA,
    }
    path.write_text(json.dumps(data))


def paired(tmp_path, files, photos):
    truth, found = files
    write(tmp_path / "gt.json", truth, photos)
    write(tmp_path / "pred.json", found, photos)
    return pair(read_coco(tmp_path / "gt.json"), read_predictions(tmp_path / "pred.json"))


@pytest.mark.parametrize("seed", range(6))
def test_parts_make_the_whole(tmp_path, seed):
    files = random_files(seed)
    whole = joint_metrics(paired(tmp_path, files, range(1, 9)), JointConfig(resamples=20))
    first, second = PairingParts(), PairingParts()
    held = sorted(files[1])
    # The last batch repeats a photo, as a sampler does.
    batches = [b for b in ([held[1], 1, 2, 3], [4, 5], [6, 7, 8, held[0]]) if set(b) & set(held)]
    for i, photos in enumerate(batches):
        (first if i else second).update(paired(tmp_path, files, dict.fromkeys(photos)))
    first.merge(pickle.loads(pickle.dumps(second)))
    if len({p for b in batches for p in b}) < 8:
        return
    joined = first.compute()
    assert [image.file_name for image in joined.images] == [f"{i}.jpg" for i in range(1, 9)]
    parts = joint_metrics(joined, JointConfig(resamples=20))
    assert parts.numbers == pytest.approx(whole.numbers, abs=1e-9, nan_ok=True)
    assert set(parts.intervals) == set(whole.intervals)
    assert len(joined.detection_probabilities) == len(joined.detections)


def test_of_a_repeated_photo_the_first_counts(tmp_path):
    truth, found = random_files(1)
    full = paired(tmp_path, (truth, found), range(1, 9))
    parts = PairingParts()
    parts.update(full)
    parts.update(paired(tmp_path, (truth, {photo: [] for photo in truth}), range(1, 9)))
    assert len(parts.compute().detections) == len(full.detections) > 0
    assert parts.compute().missing == full.missing


def test_mistakes_are_named(tmp_path):
    with pytest.raises(InputError, match="no pairing"):
        PairingParts().compute()
    files = random_files(1)
    one = paired(tmp_path, files, range(1, 9))
    parts = PairingParts()
    parts.update(one)
    other = json.loads((tmp_path / "gt.json").read_text())
    other["categories"][0]["name"] = "cap"
    (tmp_path / "gt.json").write_text(json.dumps(other))
    with pytest.raises(InputError, match="different categories"):
        parts.update(pair(read_coco(tmp_path / "gt.json"), read_predictions(tmp_path / "pred.json")))

"""All evaluators over two processes: each sees a part of the photos, one of them twice as samplers have it, the states
are gathered over gloo, and every figure is that of one process that sees everything."""

import json
import os
import subprocess
import sys

import pytest

WORKER = """
import json, math, sys
from dataclasses import replace

import numpy as np
import torch.distributed as dist

from segattr.attributes.evaluation import AttributeMetrics
from segattr.attributes.joint_ap import JointApMetrics
from segattr.datasets import masks
from segattr.datasets.schema import Attribute, Schema
from segattr.seg.coco_eval import CocoMetrics, make_objects
from segattr.seg.error_breakdown import ErrorMetrics
from segattr.seg.label_maps import label_maps
from segattr.seg.semantic_eval import SemanticMetrics

PHOTOS, SIZE, CATEGORIES = 7, (48, 64), 3
SCHEMA = Schema((Attribute("color", "single", ("red", "blue")), Attribute("length", "number")))


def photo(index):
    rng = np.random.default_rng(index)

    def some(n):
        rles = []
        for x, y, w, h in rng.integers(4, 30, (n, 4)):
            mask = np.zeros(SIZE, np.uint8)
            mask[y : y + h, x : x + w] = 1
            rles.append(masks.encode(mask))
        return rles, rng.integers(0, CATEGORIES, n).tolist(), rng.choice([0.3, 0.6, 0.9], n)

    rles, categories, _ = some(4)
    more, other, scores = some(5)
    truth = make_objects([0] * 4, categories, rle=rles)
    found = make_objects([0] * 8, categories[:3] + other, rle=rles[:3] + more, score=[0.9, 0.6, 0.6, *scores])
    sets = [[frozenset(rng.integers(0, 5, 2).tolist()) for _ in range(n)] for n in (4, 8)]
    colors, lengths, red = rng.choice(["red", "blue"], (2, 4)), rng.random((2, 4)), rng.random(4)
    rows = [[{"color": str(c), "length": float(v)} for c, v in zip(*side)] for side in zip(colors, lengths)]
    return truth, found, sets, rows, [{"color": {"red": float(v), "blue": 1 - float(v)}} for v in red]


def seen(indices, repeated=()):
    evaluators = {
        "coco": CocoMetrics(CATEGORIES), "errors": ErrorMetrics(CATEGORIES), "joint": JointApMetrics(CATEGORIES),
        "maps": SemanticMetrics(["ground", "a", "b", "c"], ignore_index=None), "attributes": AttributeMetrics(SCHEMA),
    }
    for i in [*indices, *repeated]:
        truth, found, sets, attributes, probabilities = photo(i)
        evaluators["coco"].update(truth, found, [SIZE], [i])
        evaluators["errors"].update(truth, found, [SIZE], [i])
        evaluators["joint"].update(truth, found, *sets, [SIZE], [i])
        evaluators["maps"].update(*(label_maps(one, [SIZE], 0, CATEGORIES) for one in (found, truth)), image_id=i)
        if i not in repeated:  # instances have no ids
            evaluators["attributes"].update(*attributes, probabilities=probabilities)
    return evaluators


def figures(evaluators):
    done = {name: one.compute() for name, one in evaluators.items()}
    found = {f"{name}/{key}": value for name in ("coco", "joint") for key, value in done[name].numbers.items()}
    found |= done["errors"].flat() | done["maps"].flat() | evaluators["attributes"].flat()
    return {key: None if math.isnan(value) else float(value) for key, value in found.items()}


rank, store = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
mine = seen([6, 0, 2, 4]) if rank == 0 else seen([5, 1, 3], repeated=[6])
gathered = [None, None]
dist.all_gather_object(gathered, mine)
for name, one in gathered[0].items():
    one.merge(gathered[1][name])
if rank == 0:
    print(json.dumps([figures(gathered[0]), figures(seen(list(range(PHOTOS))))]))
dist.destroy_process_group()
"""


def test_two_processes_equal_one(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    env = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, str(script)]
    workers = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "store")], stdout=subprocess.PIPE, text=True, env=env)
        for rank in range(2)
    ]
    outputs = [worker.communicate(timeout=300)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    parts, whole = json.loads(outputs[0])
    assert {"coco/AP", "joint/AP", "errors/AP", "semantic/miou", "attributes/color/accuracy"} <= set(whole)
    assert 0 < whole["coco/AP"] < 1
    assert set(parts) == set(whole)
    for key, value in whole.items():
        assert parts[key] == (value if value is None else pytest.approx(value, abs=1e-9)), key

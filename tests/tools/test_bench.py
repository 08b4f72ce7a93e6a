"""bench prints every stage; its figures are not judged here."""

import importlib.util
import re

import pytest

from segattr.tools.cli import main


@pytest.mark.slow
def test_bench_extract_prints_every_stage(capsys):
    assert main(["bench", "extract", "--count", "4", "--repeats", "1", "--instances", "2", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    for stage in ("decode", "segment", "crops + attributes", "write", "the whole", "one by one"):
        assert stage in said
    assert len(re.findall(r"\d+\.\dx", said)) == 2


def test_bench_without_a_subject_and_with_a_bad_count(capsys):
    assert main(["bench"]) == 2
    assert main(["bench", "extract", "--count", "0"]) == 2
    assert "--count 0" in capsys.readouterr().err


TINY = ["--backbone", "resnet18", "--size-px", "96", "--proposals", "10", "--samples", "8", "--detections", "3"]
TINY += ["--count", "1", "--batch-size", "1", "--repeats", "1", "--device", "cpu"]


@pytest.mark.slow
def test_bench_instance_compares_the_backends_that_are_there(capsys):
    assert main(["bench", "instance", *TINY, "--no-memory"]) == 0
    said = capsys.readouterr().out
    assert "prediction, 1 photos" in said and "training step, 1 photos" in said
    both = importlib.util.find_spec("detectron2") is not None
    assert len(re.findall(r"\d+\.\d\dx", said)) == (4 if both else 2)
    assert ("detectron2 is not installed here" in said) is not both
    done = re.findall(r"(\d+) and (\d+) (?:masks found|tensors trained)", said)
    assert len(done) == (2 if both else 0) and all(ours == theirs for ours, theirs in done)


@pytest.mark.slow
def test_bench_instance_measures_memory_in_a_process_of_its_own(capsys):
    assert main(["bench", "instance", *TINY]) == 0
    said = capsys.readouterr().out
    peaks = [int(row[1]) for row in re.findall(r"│ (ours|detectron2).*?(\d+) +│\n", said)]
    assert len(peaks) in (2, 4) and all(20 < peak < 3000 for peak in peaks)


def test_bench_instance_refuses_bad_numbers(capsys):
    assert main(["bench", "instance", "--proposals", "0"]) == 2
    assert "--proposals 0" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["segm", "bbox"])
def test_bench_evaluate_says_that_the_numbers_are_those_of_pycocotools(capsys, kind):
    arguments = ["--photos", "30", "--detections", "8", "--products", "3", "--repeats", "1", "--kind", kind]
    assert main(["bench", "evaluate", *arguments]) == 0
    said = capsys.readouterr().out
    assert "30 photos, 240 detections, 90 products" in said and "equal to 1e-9" in said
    assert len(re.findall(r"(COCO mAP|joint AP), (segattr|pycocotools) .*\d\.\d\dx? .*x", said)) == 3


def test_bench_evaluate_refuses_bad_numbers(capsys):
    assert main(["bench", "evaluate", "--detections", "0"]) == 2
    assert "--detections 0" in capsys.readouterr().err

"""bench prints every stage; its figures are not judged here."""

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

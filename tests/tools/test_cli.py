"""The command line as a user meets it: usage, versions, and mistakes."""

import subprocess
import sys

import pytest

import segattr
from segattr.tools.cli import VERBS, main


def run(*arguments):
    command = [sys.executable, "-c", "import sys; from segattr.tools.cli import main; sys.exit(main())", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_usage_names_every_verb(capsys):
    assert main([]) == 0
    said = capsys.readouterr().out
    assert all(verb in said for verb in VERBS)


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"segattr {segattr.__version__}\n"


def test_an_unknown_verb_is_said(capsys):
    assert main(["extrct"]) == 2
    assert "no verb 'extrct'" in capsys.readouterr().err


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_wrong_flag_ends_with_code_2_and_no_traceback(verb):
    sub = {
        "card": ["default"],
        "data": ["validate", "a.json"],
        "train": ["semantic"],
        "bench": ["extract"],
        "evaluate": ["a.json", "b.json"],
    }
    sub = sub.get(verb, [])
    done = run(verb, *sub, "--no-such-flag")
    assert done.returncode == 2
    assert "no-such-flag" in done.stderr + done.stdout and "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_help_of_every_verb(verb):
    done = run(verb, "--help")
    assert done.returncode == 0 and "usage" in done.stdout


def test_reading_coco_does_not_wait_for_torch():
    code = "import sys, segattr, segattr.datasets.coco, segattr.tools.cli, segattr.tools.data; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False", done.stderr

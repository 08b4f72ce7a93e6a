"""The README cannot lie: its commands and its Python run here, in order, on the small catalog that they make."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from segattr.tools.cli import main

ROOT = Path(__file__).parents[1]
# What keeps two trainings short enough for a test; every flag of the README stays.
SHORT = "--loop.epochs 1 --loop.workers 0 --loop.device cpu"


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(name: str) -> list[list[str]]:
    text = (ROOT / name).read_text()
    lines = [line for block in blocks(text, "sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("segattr ")]


def run(arguments: list[str], folder: Path, allowed=(0,)) -> str:
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode in allowed, f"{shlex.join(arguments)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def run_editor(arguments: list[str], folder: Path) -> str:
    """The command as a person runs it: until the page is there, then Ctrl-C."""
    with subprocess.Popen(arguments, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        said = ""
        while "The editor: http" not in said and (line := process.stdout.readline()):
            said += line
        for patience_s in (
            20,
            20,
            60,
        ):  # a Ctrl-C in the very moment in which the server starts may be lost: press it again
            process.send_signal(signal.SIGINT)
            try:
                out, err = process.communicate(timeout=patience_s)
                break
            except subprocess.TimeoutExpired:
                continue
        else:
            process.kill()
            out, err = process.communicate()
    assert process.returncode == 0 and "The editor: http" in said, f"{shlex.join(arguments)}\n{said}\n{err[-2000:]}"
    return said + out


def segattr(words: list[str], folder: Path) -> None:
    """What the console script calls, in this process (most of a short command's time is importing torch); the editor,
    which Ctrl-C ends, in its own."""
    if words[1] == "annotate" and "--no-serve" not in words:
        pytest.importorskip("uvicorn", reason="the editor's server is the [serve] extra")
        script = "import sys; from segattr.tools.cli import main; sys.exit(main())"
        run_editor([sys.executable, "-c", script, *words[1:], "--no-browser", "--port", "0"], folder)
        return
    if words[1] == "train":
        words = words + shlex.split(SHORT)
    assert main(words[1:]) == 0, shlex.join(words)


@pytest.mark.slow
def test_the_readme_runs_as_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = commands("README.md")
    assert {words[1] for words in said} >= {"annotate", "train", "extract", "evaluate", "data"}
    for words in said:
        if "bench" not in words and "../shared" not in " ".join(words):
            segattr(words, tmp_path)
    for made in (
        "out/predictions.json",
        "out/report.html",
        "drafts.json",
        "out-mine/instances.parquet",
        "figures/metrics.json",
    ):
        assert (tmp_path / made).stat().st_size > 0
    (python,) = blocks((ROOT / "README.md").read_text(), "python")
    run([sys.executable, "-c", python], tmp_path)
    assert (tmp_path / "outlined.png").stat().st_size > 0
    for words in commands("docs/data.md"):
        segattr(words, tmp_path)


def test_the_first_commands_of_the_readme_are_make_demo_and_make_test():
    first = blocks((ROOT / "README.md").read_text(), "sh")[0]
    targets = re.findall(r"^make (\w+)", first, re.MULTILINE)
    assert targets == ["demo", "demo", "test"]
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_links_in_the_docs_lead_somewhere():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert os.path.exists(page.parent / target), f"{page.name}: {target}"

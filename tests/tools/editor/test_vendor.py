"""What the editor's page is made of: vendored files as they were published, nothing from elsewhere."""

import hashlib
import re
from pathlib import Path

import pytest

import segattr

STATIC = Path(segattr.__file__).parent / "tools" / "editor" / "static"
VENDOR = STATIC / "vendor"
ROW = re.compile(r"^\| (\S+) \| (\S+) \| (\d+\.\d+\.\d+) \| (\w+)[^|]* \| ([0-9a-f]{64}) \|$", re.MULTILINE)
OWN = [path for path in sorted(STATIC.rglob("*")) if path.is_file() and VENDOR not in path.parents]
# XML namespaces are names, nothing is loaded from them.
ELSEWHERE = re.compile(r"(?:https?:)?//(?!www\.w3\.org/)[a-z0-9-]+\.[a-z]{2,}", re.IGNORECASE)


def test_every_vendored_file_is_listed_and_as_published():
    listed = {name: (version, licence, digest) for name, _, version, licence, digest in ROW.findall(_readme())}
    assert set(listed) == {path.name for path in VENDOR.iterdir()} - {"README.md"}
    for name, (_, licence, digest) in listed.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name
        assert licence == "MIT"


def test_the_version_is_the_files_own():
    version = next(version for name, _, version, _, _ in ROW.findall(_readme()) if name == "konva.min.js")
    assert f"v{version}" in (VENDOR / "konva.min.js").read_text()[:1000]
    assert "MIT License" in (VENDOR / "konva.LICENSE").read_text()


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.relative_to(STATIC).as_posix())
def test_the_page_loads_nothing_from_elsewhere_and_runs_no_text(path):
    text = path.read_text()
    assert not ELSEWHERE.search(re.sub(r"(?m)(^|\s)//.*$", "", text))
    for dangerous in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert dangerous not in text, dangerous
    if path.suffix == ".html":
        assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|<style", text), "the policy forbids inline code"
    if path.suffix == ".js":
        assert len(text.splitlines()) < 400


def test_modules_import_files_that_exist():
    for path in OWN:
        if path.suffix == ".js":
            for name in re.findall(r'(?:from|import)\s*\(?"(\.[^"]+)"', path.read_text()):
                assert (path.parent / name).is_file(), f"{path.name} imports {name}"


def _readme() -> str:
    return (VENDOR / "README.md").read_text()

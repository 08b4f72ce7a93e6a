"""The editor's keys: one action a key, and the documentation names them all."""

import json
import re
from collections import Counter
from pathlib import Path

import segattr

ROOT = Path(segattr.__file__).parent
ROW = re.compile(r'^    \["([\w.]+)", "(\w+)", "([^"]+)", (\[(?:"[^"]*"(?:, )?)+\]),', re.MULTILINE)
SIGNS = {"ArrowLeft": "←", "ArrowRight": "→", "ArrowUp": "↑", "ArrowDown": "↓", "PageDown": "Page Down"}
SIGNS |= {"PageUp": "Page Up", "Escape": "Esc"}


def _actions() -> list[tuple[str, str, list[str]]]:
    source = (ROOT / "tools/editor/static/js/actions.js").read_text()
    found = [(name, label, json.loads(combos)) for name, _, label, combos in ROW.findall(source)]
    assert len(found) == len(re.findall(r'^    \["', source, re.MULTILINE)) > 40
    return found


def test_no_key_has_two_actions():
    combos = Counter(combo for _, _, combos in _actions() for combo in combos)
    assert [combo for combo, count in combos.items() if count > 1] == []
    assert not [combo for combo in combos if re.fullmatch(r"(Shift\+)?\d", combo)], "number keys choose values"


def test_the_documentation_names_every_key():
    rows = re.findall(r"^\| \w* ?\| (.+?) \| (.+?) \|$", (ROOT / "docs/annotate.md").read_text(), re.MULTILINE)
    told = {label: keys for keys, label in rows}
    for _, label, combos in _actions():
        assert told[label] == " or ".join(f"`{_shown(combo)}`" for combo in combos)


def _shown(combo: str) -> str:
    parts = [combo] if combo == "+" else combo.split("+")
    return "+".join(SIGNS.get(part, part) for part in parts)

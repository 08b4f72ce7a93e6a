"""Draw the README's picture of the editor from the synthetic catalog: python picture.py docs/images/editor.png"""

import importlib.util
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from segattr.tools.cli import main as segattr
from segattr.tools.editor.importing import import_coco, read_checked
from segattr.tools.editor.store import Store, work_folder

OPEN = 2  # which photo


def _conftest():
    spec = importlib.util.spec_from_file_location("conftest", Path(__file__).with_name("conftest.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def draw(folder: Path, target: Path) -> None:
    c = _conftest()
    segattr(
        [
            "data",
            "synth",
            str(folder),
            "--images",
            "14",
            "--size-px",
            "1024",
            "--products",
            "2",
            "3",
            "--seed",
            "20",
            "--ground",
            "studio",
        ]
    )
    stand = c.Stand()
    with Store(work_folder(folder / "catalog.json"), images=folder) as store, sync_playwright() as playwright:
        import_coco(store, read_checked(folder / "catalog.json"))
        stand.show(store, folder / "catalog.json")
        browser = playwright.chromium.launch(executable_path=c.found_chromium(), args=c.FLAGS)
        tab = c.Tab(browser.new_context(viewport={"width": 1400, "height": 800}), stand.url).open()
        keys = [photo["key"] for photo in tab.get("queue")["photos"]]
        for key in keys[:OPEN]:
            tab.page.click(f'[data-key="{key}"]')
            tab.idle().press("a").saved()
        tab.page.click(f'[data-key="{keys[OPEN]}"]')
        tab.until("segattrEditor.key === given[0]", keys[OPEN])
        tab.idle().press("Tab", "Shift+Tab", "ArrowDown", "o")
        tab.until("segattrEditor.parts.length")
        tab.page.mouse.move(700, 790)
        tab.page.wait_for_timeout(8000)  # thumbnails; messages go
        tab.page.screenshot(path=folder / "page.png")
        browser.close()
    stand.end()
    target.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.open(folder / "page.png").convert("RGB")
    picture.quantize(256, kmeans=3).save(target, optimize=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        draw(Path(scratch) / "catalog", Path(sys.argv[1]))

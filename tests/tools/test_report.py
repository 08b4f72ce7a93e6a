"""report.html: every label escaped, self-contained, capped, and (where a browser is there) it filters and sorts."""

import base64
import hashlib
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from PIL import Image

from segattr.datasets.schema import Attribute, Schema
from segattr.tools.extract import ExtractConfig, extract
from segattr.tools.report import evenly

EVIL = '<script>alert("x")</script> & \'"><img src=x onerror=alert(1)>'


class Page(HTMLParser):
    """Tags, attributes and text, as a browser would see them."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag, css_class=None):
        found = [attrs for name, attrs in self.tags if name == tag]
        return [a for a in found if css_class is None or css_class in (a.get("class") or "").split()]


@pytest.fixture
def report(photos, tmp_path, fake):
    def make(predictor=None, **options):
        config = ExtractConfig((photos.folder,), tmp_path / "out", format=("html",), **options)
        extract(config, predictor or fake.FakePredictor())
        return (config.out / "report.html").read_text(encoding="utf-8")

    return make


def test_a_card_a_photo_with_what_was_found(photos, report):
    photos.add("one.png")
    photos.add("two.png", [(2, 3, 12, 33, (120, 10, 20)), (30, 5, 70, 25, (0, 10, 90))])
    photos.add("none.png", [])
    page = Page(report())
    assert len(page.all("article", "card")) == 3
    assert len(page.all("section", "product")) == 3
    text = " ".join(" ".join(page.texts).split())
    for expected in ("one.png", "No product found", "shirt", "hat", "solid", "70%", "400 cm", "#102030", "75%"):
        assert expected in text
    assert len(page.all("path", "line")) == 3


def test_it_is_one_file_that_loads_nothing(photos, report):
    photos.many(4)
    html = report()
    page = Page(html)
    assert not page.all("link") and not page.all("img")
    assert all("src" not in attrs for attrs in page.all("script"))
    assert not re.search(r"https?://|@import|url\(", html)
    uris = [attrs["href"] for attrs in page.all("image")]
    assert len(uris) == 4
    for uri in uris:
        picture = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))))
        assert picture.format == "JPEG" and 240 <= max(picture.size) <= 480


def test_the_policy_names_the_one_script(photos, report):
    photos.add("a.png")
    html = report()
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [a["content"] for a in Page(html).all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy


def test_names_from_outside_are_text_and_never_markup(photos, report, fake):
    name = EVIL.replace("/", "|")
    photos.add(f"{name}.png")
    photos.folder.joinpath(f"{name}.jpg").write_text("broken")

    class Evil(fake.FakePredictor):
        def __init__(self):
            super().__init__()
            self.categories = [EVIL, "hat"]
            self.schema = Schema([Attribute(EVIL, "single", (EVIL, "$title"))])

        def find(self, image, batch):
            items = super().find(image, batch)
            for item in items:
                item.category, item.category_probs = EVIL, {EVIL: 1.0}
                item.attributes = {EVIL: fake.AttributeValue(EVIL, {EVIL: 0.9})}
            return items

    page = Page(report(Evil()))
    assert len(page.all("script")) == 1 and not page.all("img")
    assert not any(key.startswith("on") for _, attrs in page.tags for key in attrs)
    assert any(text.strip() == EVIL for text in page.texts)
    assert "$title" in page.texts


def test_a_large_catalog_is_capped_and_says_so(photos, report):
    photos.many(12)
    page = Page(report(report_max=5))
    assert len(page.all("article", "card")) == 5
    assert any("shows 5 of 12 photos" in text for text in page.texts)


def test_a_large_photo_on_its_side_is_shown_upright(photos, report, fake):
    photos.folder.mkdir()
    rgb = Image.new("RGB", (2400, 1600), "white")
    rgb.paste((200, 0, 0), (0, 0, 2400, 200))  # red along the top as stored: along the right once turned
    exif = rgb.getexif()
    exif[0x0112] = 6
    rgb.save(photos.folder / "a.jpg", exif=exif)
    (image,) = Page(report()).all("image")
    thumb = Image.open(io.BytesIO(base64.b64decode(image["href"].partition(",")[2]))).convert("RGB")
    assert thumb.size == (213, 320)
    left, right = thumb.getpixel((5, 160)), thumb.getpixel((207, 160))
    assert min(left) > 240 and right[0] > 180 and right[1] < 40


@pytest.mark.parametrize("total,count", [(0, 3), (1, 1), (5, 1), (5, 2), (5, 5), (5, 9), (1000, 7)])
def test_evenly_keeps_order_and_both_ends(total, count):
    chosen = evenly(list(range(total)), count)
    assert len(chosen) == min(total, count) and chosen == sorted(set(chosen))
    if total and count > 1:
        assert (chosen[0], chosen[-1]) == (0, total - 1)


def test_errors_are_listed_with_their_reason(photos, report):
    photos.add("a.png")
    (photos.folder / "empty.jpg").touch()
    page = Page(report())
    assert "empty.jpg" in page.texts and any("empty" in text for text in page.texts if text != "empty.jpg")


def test_the_outline_follows_the_mask(photos, report):
    photos.add("a.png", [(10, 10, 40, 50, (90, 20, 10))])  # 80 x 60 px, shown 320 wide: four times as large
    (path,) = Page(report()).all("path", "line")
    numbers = [[float(n) for n in point.split()] for point in re.split("[MLZ]", path["d"]) if point]
    xs, ys = zip(*numbers, strict=True)
    assert (min(xs), max(xs), min(ys), max(ys)) == pytest.approx((40, 160, 40, 200), abs=1)


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def in_browser(html: str, folder, clicks: str = "") -> str:
    """The document after its script ran. `clicks` runs behind it, in a copy whose policy lets it."""
    if clicks:
        html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
        html = html.replace("</body>", f"<script>{clicks}</script></body>")
    page = folder / "page.html"
    page.write_text(html, encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += ["--virtual-time-budget=3000", "--dump-dom", page.as_uri()]
    return subprocess.run(command, capture_output=True, check=True, timeout=120).stdout.decode()


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium here")
def test_the_script_filters_and_sorts(photos, report, tmp_path):
    photos.add("a.png", [(2, 3, 12, 33, (120, 10, 20))])  # a shirt: red, blue; sure 0.7
    photos.add("b café.png", [(30, 5, 70, 25, (0, 10, 90))])  # a hat: blue, green; sure 0.6
    html = report()

    def shown(page):
        cards = [attrs["data-text"].split()[0] for attrs in page.all("article", "card") if "hidden" not in attrs]
        return cards, " ".join(page.texts)

    cards, text = shown(Page(in_browser(html, tmp_path)))  # under its own policy
    assert cards == ["a.png", "b"] and "2 photos" in text
    counts = dict(re.findall(r"(?:</span>|>)(\w+)<b>(\d+)</b>", in_browser(html, tmp_path)))
    assert (counts["shirt"], counts["hat"], counts["blue"], counts["green"], counts["striped"]) == tuple("11210")

    click = "[...document.querySelectorAll('.facet')].find((node) => node.textContent.startsWith('green')).click();"
    cards, text = shown(Page(in_browser(html, tmp_path, click)))
    assert cards == ["b"] and "1 of 2 photos, 1 product" in text
    search = "text.value = 'CAFE'; text.dispatchEvent(new Event('input'));"
    assert shown(Page(in_browser(html, tmp_path, search)))[0] == ["b"]
    search = "text.value = 'nowhere'; text.dispatchEvent(new Event('input'));"
    assert shown(Page(in_browser(html, tmp_path, search)))[0] == []
    least = "$('sort').value = 'least'; $('sort').dispatchEvent(new Event('change'));"
    assert shown(Page(in_browser(html, tmp_path, least)))[0] == ["b", "a.png"]

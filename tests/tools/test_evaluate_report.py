"""report.html of `segattr evaluate`: self-contained, escaped, and true to the figures beside it."""

import base64
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from segattr.datasets import masks
from segattr.tools.cli import main
from segattr.tools.report_charts import Series, bars, lines, reliability_plot, table

EVIL = '<script>alert("x")</script> & \'"><img src=x onerror=alert(1)>'
SCHEMA = [
    {"name": "color", "kind": "multi", "values": ["red", "blue", EVIL]},
    {"name": "fit", "kind": "single", "values": ["slim", "wide"]},
    {"name": "length", "kind": "number", "unit": "cm"},
]


class Page(HTMLParser):
    """Tags, attributes and text, as a browser would see them."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag  # well-formed

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def catalog(seed: int, photos=8) -> dict:
    random = np.random.default_rng(seed)
    annotations = []
    for i in range(1, photos + 1):
        mask = np.zeros((60, 80), np.uint8)
        x0 = 5 + int(random.integers(0, 12)) * (seed > 0)
        mask[10:50, x0 : x0 + 45] = 1
        p = round(float(random.uniform(0.5, 1)), 3)
        fit = ["slim", "wide"][(i + (seed > 0 and i % 3 == 0)) % 2]
        one = {"id": i, "image_id": i, "category_id": 1 + i % 2, "segmentation": masks.encode(mask), "iscrowd": 0}
        one |= {
            "score": p,
            "attributes": {"color": [EVIL] if i % 2 else ["red"], "fit": fit, "length": 40.0 + seed * i},
        }
        one["probabilities"] = {"fit": {"slim": p if fit == "slim" else 1 - p, "wide": p if fit == "wide" else 1 - p}}
        annotations.append(one)
    return {
        "images": [
            {"id": i, "file_name": f"{i} {EVIL.replace('/', '|')}.jpg", "width": 80, "height": 60, "shop": EVIL}
            for i in range(1, photos + 1)
        ],
        "categories": [{"id": 1, "name": "hat"}, {"id": 2, "name": EVIL}],
        "annotations": annotations,
        "attribute_schema": SCHEMA,
    }


@pytest.fixture
def made(tmp_path):
    """The report of 8 photos with names made to break out of it, and the metrics beside it."""
    for name, seed in (("gt", 0), ("pred", 1)):
        (tmp_path / f"{name}.json").write_text(json.dumps(catalog(seed)))
    for image in catalog(0)["images"]:
        Image.new("RGB", (80, 60), (60, 90, 160)).save(tmp_path / image["file_name"])
    flags = [
        "--slice-by",
        "category",
        "size",
        "color",
        "shop",
        "--second",
        str(tmp_path / "gt.json"),
        "--resamples",
        "50",
    ]
    files = [str(tmp_path / "gt.json"), str(tmp_path / "pred.json")]
    assert main(["evaluate", *files, *flags, "--out", str(tmp_path / "out")]) == 0
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    return html, json.loads((tmp_path / "out" / "metrics.json").read_text())


def test_the_page_loads_nothing_runs_nothing_and_takes_names_for_text(made):
    html, _ = made
    page = Page(html)
    assert not page.open  # every tag closed
    assert not page.all("script") and not page.all("img") and not page.all("link")
    assert not any(key.startswith("on") for _, attrs in page.tags for key in attrs)
    assert not re.search(r"https?://|@import|url\(", html)
    (policy,) = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src" not in policy
    assert page.text.count('<script>alert("x")</script>') > 5


def test_it_shows_the_figures_of_metrics_json(made):
    html, metrics = made
    text = Page(html).text
    for key in (
        *("segm/AP", "segm-agnostic/AP75", "joint/segm/AP", "segm/category/hat/AP", "product/iou", "category/accuracy"),
        *("attributes/fit/accuracy", "attributes/fit/macro_f1", "attributes/fit/ece", "attributes/length/mae"),
        *(
            "slices/size/large/product/iou",
            "slices/category/hat/attributes/fit/accuracy",
            "second/attributes/fit/kappa",
        ),
    ):
        if metrics[key] is not None:
            assert f"{metrics[key]:.3f}" in text, key
    for heading in (
        "COCO",
        "Errors",
        "Reliability",
        "filled in at 95% precision",
        "By size",
        "Wrong fit",
        "Poor masks",
    ):
        assert heading in text, heading


def test_every_photo_stands_in_it_once_and_mistakes_point_to_it(made):
    html, _ = made
    page = Page(html)
    images = {attrs["id"]: attrs["href"] for attrs in page.all("image")}
    used = {attrs["href"].removeprefix("#") for attrs in page.all("use")}
    assert used == set(images) and len(page.all("use")) > len(images)
    picture = Image.open(io.BytesIO(base64.b64decode(next(iter(images.values())).partition(",")[2])))
    assert picture.format == "JPEG" and max(picture.size) == 320


def test_without_photos_there_are_outlines_and_a_note(made, tmp_path):
    for path in tmp_path.glob("*.jpg"):
        path.unlink()
    arguments = ["evaluate", str(tmp_path / "gt.json"), str(tmp_path / "pred.json"), "--out", str(tmp_path / "bare")]
    assert main(arguments) == 0
    page = Page((tmp_path / "bare" / "report.html").read_text())
    assert not page.all("image") and any(attrs.get("class") == "t" for attrs in page.all("path"))
    assert "were not found" in page.text
    assert main([*arguments, "--images", str(tmp_path)]) == 2  # asked for, so they must be there


def test_no_detection_at_all_is_a_report_too(tmp_path, capsys):
    (tmp_path / "gt.json").write_text(json.dumps(catalog(0)))
    (tmp_path / "none.json").write_text("[]")
    assert (
        main(["evaluate", str(tmp_path / "gt.json"), str(tmp_path / "none.json"), "--out", str(tmp_path / "out")]) == 0
    )
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["segm/AP"] == metrics["joint/segm/AP"] == 0 and metrics["instances/missed"] == 8
    assert "nothing found" in Page((tmp_path / "out" / "report.html").read_text()).text


def test_charts_leave_out_what_is_undefined_and_draw_the_rest_in_place():
    nan = float("nan")
    svg = lines([Series("<b>", [0, 0.5, 1], [1, nan, 0])], x="recall", y="precision")
    assert "M46.0 10.0L408.0 240.0" in svg and "&lt;b&gt;" in svg and "nan" not in svg
    assert lines([], x="", y="") == "" and bars([("a", nan, "")]) == "" and reliability_plot(np.zeros((15, 3))) == ""
    assert "<td>&lt;i&gt;</td>" in table(["a"], [["<i>"]])
    bins = np.array([[0.2, 0.5, 4], [0, 0, 0], [0.9, 1.0, 1]])
    heights = re.findall(r'<rect [^>]*height="([\d.]+)" fill="[^"]+" fill-opacity="([\d.]+)"', reliability_plot(bins))
    assert [float(height) for height, _ in heights] == [115, 230] and heights[0][1] == "1.00"


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium here")
def test_a_browser_draws_it(made, tmp_path):
    page = tmp_path / "out" / "report.html"
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--window-size=1200,3000", f"--screenshot={tmp_path / 'shot.png'}", page.as_uri()]
    subprocess.run(command, capture_output=True, check=True, timeout=120)
    with Image.open(tmp_path / "shot.png") as shot:
        colours = {tuple(pixel) for pixel in np.asarray(shot.convert("RGB")).reshape(-1, 3)[::7]}
    assert (0, 114, 178) in colours  # the curves
    assert len(colours) > 50

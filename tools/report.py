"""report.html: a contact sheet of an extraction in one file that opens offline.

The cards are plain HTML; the script only filters and sorts them. Whatever comes from a file name or a schema goes
through `escape`, and the page's own policy lets no script run but the one whose hash it names.
"""

from __future__ import annotations

import base64
import colorsys
import hashlib
from collections.abc import Iterator
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from ..attributes.drawing import colour_of
from ..datasets.files import atomic_path
from .report_pictures import Picture, pictures

if TYPE_CHECKING:
    from .extraction import Photo
    from .extraction_output import Extraction

STATIC = Path(__file__).parent / "static"
DOUBTFUL = 0.5  # a probability below this is marked
MAX_ERRORS = 500

# How a value that names a colour is shown; other values get no dot.
COLOUR_NAMES = {
    **{"black": "#1b1b1d", "white": "#ffffff", "gray": "#8f9195", "grey": "#8f9195", "beige": "#dcc9a6"},
    **{"brown": "#76492c", "red": "#d0272d", "orange": "#f0842c", "yellow": "#f3cf3a", "green": "#3d8f4c"},
    **{"blue": "#3a78d0", "navy": "#1d2b53", "purple": "#7d4aa8", "pink": "#f19bb8", "gold": "#c9a03c"},
    **{"silver": "#c0c4c9", "turquoise": "#3fb8b0", "cream": "#f3ead2", "olive": "#75763a", "teal": "#24797b"},
}


def write_report(extraction: Extraction, path: Path, *, max_photos: int = 400) -> None:
    """Write the contact sheet of at most `max_photos` photos, taken evenly from the catalog in order of file name."""
    chosen = evenly(extraction.photos, max_photos)
    facets = _facets(extraction)
    tokens = {(group, value): f"{i}.{j}" for i, (group, values) in enumerate(facets) for j, value in enumerate(values)}
    spectrum: list[str] = []
    products = sum(len(record.items) for _, record in extraction.records())
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", errors="backslashreplace") as out:
        cards = _cards(extraction, chosen, tokens, path.parent.resolve(), spectrum)
        body = list(cards)  # a few hundred cards; the strip on top of the page needs their colours first
        script = (STATIC / "report.js").read_text(encoding="utf-8")
        out.write(_head(extraction, len(chosen), products, script, spectrum))
        out.writelines(_facet_list(facets, tokens))
        out.write('</details></aside>\n<main id="cards">\n')
        out.writelines(body)
        out.write('<p class="empty" id="empty" hidden>No photo fits these filters.</p>\n</main>\n</div>\n')
        out.writelines(_errors(extraction))
        out.write(f"<script>{script}</script>\n</body>\n</html>\n")


def evenly(photos: list[Photo], count: int) -> list[Photo]:
    """At most `count` of them, at even distances, first and last included."""
    if len(photos) <= count:
        return photos
    if count == 1:
        return photos[:1]
    return [photos[round(i * (len(photos) - 1) / (count - 1))] for i in range(count)]


def _facets(extraction: Extraction) -> list[tuple[str, list[str]]]:
    facets = [("category", [*extraction.categories, "no product"])]
    return facets + [(attribute.name, list(attribute.values)) for attribute in extraction.schema if attribute.values]


def _head(extraction: Extraction, shown: int, products: int, script: str, spectrum: list[str]) -> str:
    errors = len(extraction.errors)
    counts = [("photos", f"{len(extraction.photos):,}", ""), ("products", f"{products:,}", "")]
    counts += [("errors", f'<a href="#errors">{errors:,}</a>', ' class="bad"')] if errors else []
    capped = ""
    if shown < len(extraction.photos):
        capped = f"This page shows {shown:,} of {len(extraction.photos):,} photos, spread evenly over the catalog; "
        capped = f'<p class="capped">{capped}the JSON and Parquet files hold all (--report-max shows more).</p>'
    page = Template((STATIC / "report.html").read_text(encoding="utf-8"))
    return page.substitute(
        title=escape(extraction.scan.root.name or "photos"),
        model=escape(extraction.model),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        css=(STATIC / "report.css").read_text(encoding="utf-8"),
        spectrum=_spectrum(spectrum),
        counts="".join(f"<div{extra}><dt>{name}</dt><dd>{number}</dd></div>" for name, number, extra in counts),
        capped=capped,
        shown=f"{shown} photos",
    )


def _spectrum(colours: list[str]) -> str:
    """The products' main colours, sorted, as one strip: the catalog at a glance."""
    if not colours:
        return "background:var(--line)"

    def place(colour: str) -> tuple:
        hue, lightness, saturation = colorsys.rgb_to_hls(*(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)))
        grey = saturation < 0.14 or not 0.08 < lightness < 0.95
        return (not grey, lightness if grey else round(hue * 16), lightness)

    colours = sorted(colours, key=place)
    colours = colours[:: max(1, len(colours) // 160)]
    step = 100 / len(colours)
    stops = ",".join(f"{colour} {i * step:.2f}% {(i + 1) * step:.2f}%" for i, colour in enumerate(colours))
    return f"background:linear-gradient(90deg,{stops})"


def _facet_list(facets: list[tuple[str, list[str]]], tokens: dict[tuple[str, str], str]) -> Iterator[str]:
    for group, values in facets:
        yield f"<fieldset><legend>{escape(group)}</legend>\n"
        for value in values:
            label = _dot(value) + escape(value)
            yield (
                f'<button class="facet" data-f="{tokens[group, value]}" aria-pressed="false">{label}<b></b></button>\n'
            )
        yield "</fieldset>\n"


def _cards(
    extraction: Extraction, chosen: list[Photo], tokens: dict, folder: Path, spectrum: list[str]
) -> Iterator[str]:
    for photo, record, picture in pictures(extraction.records(chosen), folder):
        products = [_Product(extraction, item) for item in record.items]
        spectrum += [product.palette[0]["hex"] for product in products if product.palette]
        sure = min((product.sure for product in products), default=0.0)
        text = " ".join([photo.file_name, *(product.words for product in products)]).lower()
        name = escape(photo.file_name)
        many = len(products) > 1
        yield f'<article class="card{" many" if many else ""}" data-sure="{sure:.5f}" data-text="{escape(text)}">\n'
        yield f'<a class="photo" href="{escape(picture.href)}" title="Open the photo">{_svg(picture, name)}</a>\n'
        if products:
            parts = (product.html(number, many, tokens) for number, product in enumerate(products))
            yield f'<div class="products">\n{"".join(parts)}</div>\n'
        else:
            yield f'<p class="nothing" data-f="{tokens["category", "no product"]}">No product found</p>\n'
        yield f'<div class="file" title="{name}">{name}</div>\n</article>\n'


def _svg(picture: Picture, name: str) -> str:
    width, height = picture.width, picture.height
    image = f'<image href="{picture.uri}" width="{width}" height="{height}"/>' if picture.uri else ""
    # The veil of the cut-out view: all but the products; a little wider than the photo, whose edge would show else.
    around = f"M-2-2H{width + 2}V{height + 2}H-2Z{''.join(picture.paths)}"
    veil = f'<path class="veil" fill-rule="evenodd" d="{around}"/>' if picture.paths else ""
    lines = "".join(
        f'<g data-n="{number}"><path class="rim" d="{path}"/>'
        f'<path class="line" stroke="{colour_of(number)}" d="{path}"/></g>'
        for number, path in enumerate(picture.paths)
    )
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{name}">{image}{veil}{lines}</svg>'


class _Product:
    """One product's part of a card."""

    def __init__(self, extraction: Extraction, item: dict[str, Any]):
        self.schema = extraction.schema
        self.category = extraction.categories[item["category_id"] - 1]
        self.category_prob = item["probabilities"]["category"].get(self.category, 1.0)
        self.score, self.palette = item["score"], item["palette"]
        self.attributes: dict[str, Any] = item["attributes"]
        self.probabilities: dict[str, dict[str, float]] = item["probabilities"]

    def values(self, name: str) -> list[tuple[str, float | None]]:
        """(text, probability) of an attribute's values; a number has no probability."""
        value = self.attributes[name]
        if isinstance(value, int | float):
            unit = self.schema[name].unit if name in self.schema else None
            return [(f"{value:g}{f' {unit}' if unit else ''}", None)]
        probs = self.probabilities.get(name, {})
        return [(one, probs.get(one)) for one in ([value] if isinstance(value, str) else value)]

    @property
    def sure(self) -> float:
        """The least of what the model says of its own certainty: what a person should look at first."""
        firsts = [self.values(name)[0][1] for name in self.attributes]
        return min([self.score, self.category_prob, *(prob for prob in firsts if prob is not None)])

    @property
    def words(self) -> str:
        return " ".join([self.category, *(text for name in self.attributes for text, _ in self.values(name))])

    def html(self, number: int, many: bool, tokens: dict[tuple[str, str], str]) -> str:
        pairs = [("category", self.category)]
        pairs += [(name, text) for name in self.attributes for text, _ in self.values(name)]
        facets = " ".join(tokens[pair] for pair in pairs if pair in tokens)
        chip = f'<i style="background:{colour_of(number)}">{number + 1}</i>' if many else ""
        title = f"category {self.category_prob:.0%}, mask {self.score:.0%}"
        head = f"<h2>{chip}{escape(self.category)}{_sure(self.category_prob, title)}</h2>"
        rows = "".join(self._row(name) for name in self.attributes)
        product = f'<section class="product" data-n="{number}" data-f="{facets}">\n{head}\n'
        return f'{product}<dl class="attrs">{rows}</dl>\n{_palette(self.palette)}</section>\n'

    def _row(self, name: str) -> str:
        values = self.values(name)
        texts = "".join(f"<span{_title(prob)}>{_dot(text)}{escape(text)}</span>" for text, prob in values)
        return f'<div><dt title="{escape(name)}">{escape(name)}</dt><dd>{texts}</dd>{_sure(values[0][1])}</div>'


def _sure(prob: float | None, title: str = "") -> str:
    if prob is None:
        return ""
    doubt = " doubt" if prob < DOUBTFUL else ""
    title = f' title="{title}"' if title else ""
    return f'<span class="sure{doubt}"{title}>{prob:.0%}</span>'


def _title(prob: float | None) -> str:
    return "" if prob is None else f' title="{prob:.0%}"'


def _dot(value: str) -> str:
    colour = COLOUR_NAMES.get(value.lower())
    return f'<span class="dot" style="background:{colour}"></span>' if colour else ""


def _palette(palette: list[dict[str, Any]]) -> str:
    if not palette:
        return ""
    parts = [(escape(swatch["hex"]), swatch["share"]) for swatch in palette]
    bar = "".join(
        f'<span style="background:{hex_};flex:{share:.4f}" title="{hex_} {share:.0%}"></span>' for hex_, share in parts
    )
    names = "".join(f"<li>{hex_} <span>{share:.0%}</span></li>" for hex_, share in parts[:4] if share >= 0.02)
    return f'<div class="palette">{bar}</div><ul class="hexes">{names}</ul>\n'


def _errors(extraction: Extraction) -> Iterator[str]:
    if not extraction.errors:
        return
    yield '<section class="errors" id="errors"><h2>Not processed</h2><ul>\n'
    for file, error in extraction.errors[:MAX_ERRORS]:
        yield f"<li><b>{escape(file)}</b><span>{escape(error.message)}</span></li>\n"
    if (more := len(extraction.errors) - MAX_ERRORS) > 0:
        yield f"<li><b>and {more:,} more</b><span>errors.jsonl lists them all</span></li>\n"
    yield "</ul></section>\n"

"""What `segattr data stats` counted, as tables for a terminal."""

from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from ..datasets.editing import AttributeStats, Stats


def stats_tables(found: Stats, file: Path) -> Iterator[Table]:
    """Of the file, its categories, every attribute and the sizes of its masks."""
    head = _table(file.name, "count")
    head.add_row("images", f"{found.images:,}")
    head.add_row("  without an annotation", f"{found.images_without_annotation:,}")
    head.add_row("annotations", f"{found.annotations:,}")
    head.add_row("  crowds", f"{found.crowds:,}")
    head.add_row("  a box only, no mask", f"{found.box_only:,}")
    yield head
    yield _counts("category", found.categories, found.annotations)
    for name, attribute in found.attributes.items():
        yield _attribute_table(name, attribute, found.annotations)
    if found.area_px:
        sizes = _table("mask area", "px", "% of the photo")
        for mark, px in found.area_px.items():
            sizes.add_row(mark, f"{px:,.0f}", f"{found.area_share[mark]:.1%}")
        yield sizes


def _attribute_table(name: str, attribute: AttributeStats, annotations: int) -> Table:
    if attribute.numbers:
        table = _table(f"{name} (number{f', {attribute.unit}' if attribute.unit else ''})", "value")
        for mark, value in attribute.numbers.items():
            table.add_row(mark, f"{value:g}")
        table.add_row("missing", f"{attribute.missing:,}", style="dim")
        return table
    table = _counts(f"{name} ({attribute.kind})", attribute.values, annotations)
    table.add_row("missing", f"{attribute.missing:,}", _share(attribute.missing, annotations), style="dim")
    return table


def _counts(title: str, counts: dict[str, int], whole: int) -> Table:
    table = _table(title, "count", "of annotations")
    for name, count in counts.items():
        table.add_row(name, f"{count:,}", _share(count, whole))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(title, min_width=24, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _share(count: int, whole: int) -> str:
    return f"{count / whole:.1%}" if whole else ""

"""What a conversion had to change or leave out: counted by kind, with the first place of each."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

# Wraps what a converter walks through, for a bar of progress: track(things, unit) -> the same things, one by one.
Track = Callable[[Sequence[Any], str], Iterable[Any]]


def untracked(things: Sequence[Any], unit: str) -> Iterable[Any]:
    """No bar."""
    return things


class Notes:
    """Counts by kind, in order of first appearance. Nothing that a converter drops goes without a note."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._first: dict[str, str] = {}

    def add(self, kind: str, where: str, count: int = 1) -> None:
        """``kind`` says what was done, in the plural ("polygons of fewer than three points left out"); ``where``: the
        place in the source."""
        self.counts[kind] = self.counts.get(kind, 0) + count
        self._first.setdefault(kind, where)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def lines(self) -> list[str]:
        """One line a kind."""
        return [f"{kind}: {count:,}, first at {self._first[kind]}" for kind, count in self.counts.items()]

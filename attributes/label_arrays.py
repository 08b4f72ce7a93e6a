"""Lists of labels as arrays: the loops over instances that all label metrics share."""

from collections.abc import Mapping, Sequence

import numpy as np

from ..datasets.errors import InputError
from ..datasets.schema import listed

Labels = Sequence[str] | None


def one_hot(labels: Sequence[Labels], index: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Which values each of n instances has, bool (n, V), and how many more that are not in ``index``, int64 (n,). None
    has none."""
    hot, outside = np.zeros((len(labels), len(index)), bool), np.zeros(len(labels), np.int64)
    rows: list[int] = []
    columns: list[int] = []
    for row, one in enumerate(labels):
        for value in one or ():
            column = index.get(value)
            if column is None:
                outside[row] = len({other for other in one if other not in index})
            else:
                rows.append(row)
                columns.append(column)
    hot[rows, columns] = True
    return hot, outside


def true_one_hot(labels: Sequence[Labels], index: Mapping[str, int]) -> np.ndarray:
    """`one_hot` of a truth. Raises InputError for a value that is not in ``index``."""
    hot, outside = one_hot(labels, index)
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        value = next(value for value in labels[row] if value not in index)
        raise InputError(f"true value {value!r} of instance {row} is not among {listed(index)}.")
    return hot


def first(labels: Labels) -> str | None:
    """The primary value; None where there is none."""
    return labels[0] if labels else None

"""Attributes as sets of tokens, and the F1 of two sets, for many pairs at once."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..datasets.errors import InputError
from ..datasets.schema import Attribute

Sets = Sequence[Set[int] | None]
_Tokens = tuple[frozenset[int], frozenset[int]]
_NOTHING: _Tokens = (frozenset(), frozenset())
_OTHER = object()  # any value that the schema does not list


@dataclass(frozen=True)
class AttributeSets:
    """Attributes of n instances as sets of tokens (a token: one value of one attribute, a number from 0).

    present, known: uint64 (n, words), one bit per token; a token is known where its attribute is. stated: bool (n,),
    whether anything is known of the instance.
    """

    present: np.ndarray
    known: np.ndarray
    stated: np.ndarray


def attribute_sets(sets: Sets, tokens: int, known: Sets | None = None) -> AttributeSets:
    """``sets``: per instance its tokens, each 0 to ``tokens`` - 1; None where nothing is known. ``known``: per instance
    the tokens of the attributes that are known of it; without it all are, where ``sets`` is not None."""
    present = _bits(sets, tokens)
    stated = np.array([one is not None for one in sets], bool)
    if known is not None:
        return AttributeSets(present, _bits(known, tokens), stated & np.array([bool(one) for one in known], bool))
    everything = np.where(stated[:, None], ~np.uint64(0), np.uint64(0))
    return AttributeSets(present, np.broadcast_to(everything, present.shape).copy(), stated)


def _bits(sets: Sets, tokens: int) -> np.ndarray:
    words = max(1, -(-tokens // 64))
    row = np.repeat(np.arange(len(sets)), [len(one or ()) for one in sets])
    token = np.array([token for one in sets for token in one or ()], np.int64)
    if len(token) and not 0 <= token.min() <= token.max() < tokens:
        raise InputError(
            f"an attribute token of {token[(token < 0) | (token >= tokens)][0]}; expected 0 to {tokens - 1}."
        )
    cells = np.zeros((len(sets), 64 * words), bool)
    cells[row, token] = True
    return np.packbits(cells, axis=1, bitorder="little").view("<u8").astype(np.uint64, copy=False)


def schema_sets(
    attributes: Sequence[Attribute], instances: Sequence[dict[str, Any]], *, predicted: bool = False
) -> AttributeSets:
    """Attributes as files hold them (``{"color": ["red"], "pattern": "solid"}``) as sets; numbers take no part.

    A missing (or None) attribute is unknown. ``predicted``: of a detection it says "no value". Values outside the schema
    (of predictions of another schema) become tokens of their own: they are wrong wherever the attribute is known.
    """
    chosen = [one for one in attributes if one.kind != "number"]
    token: dict[tuple[str, Any], int] = {}
    for one in chosen:
        for value in (*one.values, _OTHER):
            token[one.name, value] = len(token)
    members = {one.name: frozenset(token[one.name, v] for v in (*one.values, _OTHER)) for one in chosen}
    sets: list[frozenset[int]] = []
    known: list[frozenset[int]] = []
    memo: dict[Any, _Tokens] = {}
    for instance in instances:
        parts = [_tokens(one, instance.get(one.name), token, members[one.name], memo) for one in chosen]
        sets.append(frozenset().union(*(p[0] for p in parts)))
        known.append(frozenset().union(*(p[1] for p in parts)))
    return attribute_sets(sets, len(token), None if predicted else known)


def _tokens(attribute: Attribute, value: Any, token: dict, members: frozenset[int], memo: dict) -> _Tokens:
    """(tokens present, tokens known) of one attribute of one instance."""
    if value is None:
        return _NOTHING
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    key = attribute.name, values
    if key not in memo:
        other = token[attribute.name, _OTHER]
        memo[key] = frozenset(token.get((attribute.name, one), other) for one in values), members
    return memo[key]


def pair_f1(truth: AttributeSets, detections: AttributeSets, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """F1 float64 (p,) of the present values of true instance ``i`` and detection ``j``, int64 (p,); inf where nothing
    is known of the instance."""
    judged = detections.present[j] & truth.known[i]
    wanted = truth.present[i] & truth.known[i]
    both, total = _sizes(judged & wanted), _sizes(judged) + _sizes(wanted)
    f1 = np.where(total > 0, 2 * both / np.maximum(total, 1), 1.0)
    return np.where(truth.stated[i], f1, np.inf)


def token_counts(
    truth: AttributeSets, detections: AttributeSets, i: np.ndarray, j: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(tokens in common, of the true instance, of the detection), int64 (p,) each, of the pairs ``i``, ``j``, all tokens
    counting."""
    wanted, said = truth.present[i], detections.present[j]
    return _sizes(wanted & said), _sizes(wanted), _sizes(said)


def _sizes(bits: np.ndarray) -> np.ndarray:
    return np.bitwise_count(bits).sum(axis=1, dtype=np.int64)

"""`--fail-under KEY=NUMBER`: figures that must be reached, for continuous integration."""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..datasets.errors import InputError


@dataclass(frozen=True)
class Gate:
    """``key`` must be at least ``bound``, or with ``over`` at most."""

    key: str
    bound: float
    over: bool = False

    @property
    def flag(self) -> str:
        return f"--fail-{'over' if self.over else 'under'} {self.key}={self.bound:g}"


def parse_gates(under: Sequence[str], over: Sequence[str] = ()) -> list[Gate]:
    """``segm/AP=0.40`` -> Gate. Raises InputError for another form. A key may hold "=": the last one counts."""
    return [_parse(text, False) for text in under] + [_parse(text, True) for text in over]


def _parse(text: str, over: bool) -> Gate:
    key, _, number = text.rpartition("=")
    try:
        bound = float(number)
    except ValueError:
        bound = math.nan
    if not key or not math.isfinite(bound):
        flag = f"--fail-{'over' if over else 'under'}"
        raise InputError(f"{flag} {text}: expected KEY=NUMBER, such as {flag} segm/AP=0.40.")
    return Gate(key.strip(), bound, over)


def failures(gates: Sequence[Gate], flat: Mapping[str, float | None]) -> list[str]:
    """A sentence per gate that is not passed; an undefined figure passes none.

    Raises InputError for a key that the evaluation does not have, naming those most like it.
    """
    found = []
    for gate in gates:
        if gate.key not in flat:
            near = difflib.get_close_matches(gate.key, flat, n=4, cutoff=0.5) or sorted(flat)[:4]
            raise InputError(
                f"{gate.flag}: this evaluation has no figure {gate.key!r}; the nearest are {', '.join(near)} "
                "(--json prints all)."
            )
        value = flat[gate.key]
        if value is None or not math.isfinite(value) or (value == -1 and not gate.over):
            found.append(f"{gate.key} is undefined here, there is nothing to measure it on ({gate.flag}).")
        elif value > gate.bound if gate.over else value < gate.bound:
            side, far = ("above", value - gate.bound) if gate.over else ("below", gate.bound - value)
            found.append(f"{gate.key} is {value:.4f}, {far:.2g} {side} the {gate.bound:g} of {gate.flag.split()[0]}.")
    return found

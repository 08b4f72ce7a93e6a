"""Bodies of the HTTP interface, typed, and the one sentence that says what is wrong with one."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ...datasets.errors import InputError
from .records import Rle, State

T = TypeVar("T")
Size = Annotated[list[Annotated[int, Meta(ge=1, le=100_000)]], Meta(min_length=2, max_length=2)]
Point = Annotated[list[int | float], Meta(min_length=2, max_length=2)]
Ring = Annotated[list[Point], Meta(max_length=200_000)]
Click = Annotated[list[int | float], Meta(min_length=3, max_length=3)]
Box = Annotated[list[int | float], Meta(min_length=4, max_length=4)]


MAX_PIXELS = 100_000_000  # of the largest photo that is read: a few bytes of RLE could else ask for gigabytes


class Rasterise(msgspec.Struct):
    """parts: each [outer, hole, ...], each ring [[x, y], ...] in px. size: [height, width]."""

    size: Size
    parts: Annotated[list[Annotated[list[Ring], Meta(min_length=1)]], Meta(max_length=10_000)]


class Polygons(msgspec.Struct):
    segmentation: Rle
    tolerance_px: Annotated[float, Meta(ge=0, le=1000)] = 1.0


class Clicks(msgspec.Struct):
    """points: [x, y, 1 inside or 0 outside] in px. box: xyxy in px."""

    points: Annotated[list[Click], Meta(max_length=1000)] = []
    box: Box | None = None
    segmentation: Rle | None = None


class Export(msgspec.Struct):
    states: Annotated[tuple[State, ...], Meta(min_length=1)] = ("accepted",)


def check_size(size: list[int]) -> None:
    """Raises InputError for more pixels than any photo has."""
    if min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
        raise InputError(f"size: found {size}, expected [height, width] of a photo, at most {MAX_PIXELS} pixels.")


async def body(request: Request, kind: type[T]) -> T:
    """The request's body. Raises InputError with one sentence, JSON path included."""
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except msgspec.ValidationError as error:
        raise InputError(f"the request does not fit: {error}.") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"the request is not JSON: {error}.") from error
    except ClientDisconnect as error:
        raise InputError("the connection broke off; nothing was saved.") from error


def answer(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")

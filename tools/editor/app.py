"""The editor over HTTP: the page, the queue, the photos' records, and masks from outlines and clicks."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from ... import __version__
from ...datasets import masks
from ...datasets.errors import InputError
from ...datasets.images import ImageError
from . import wire
from .clicks import Clicker
from .export import write_export
from .pictures import Pictures, version
from .records import (
    STATES,
    CorruptError,
    Edit,
    FullError,
    GoneError,
    StaleError,
    Summary,
    UnknownError,
)
from .records import (
    wire as record_json,
)
from .security import Guard, Security
from .store import Store

STATIC = Path(__file__).with_name("static")
_STATUS = {UnknownError: 404, StaleError: 409, GoneError: 410, CorruptError: 500, FullError: 507, InputError: 422}


@dataclass(frozen=True)
class Settings:
    """out: the COCO file that an export writes. guard: who may come in. title: what the page is called."""

    out: Path
    guard: Guard
    title: str = "segattr annotate"


def create_app(store: Store, settings: Settings, clicker: Clicker) -> FastAPI:
    """The ASGI app over an open store."""
    app = FastAPI(title=settings.title, docs_url=None, redoc_url=None, openapi_url=None)
    pictures = Pictures()
    _answer_errors(app)
    _add_page(app)
    _add_queue(app, store, settings)
    _add_photo(app, store, pictures)
    _add_masks(app, store, pictures, clicker)
    app.add_middleware(Security, guard=settings.guard)
    return app


def _answer_errors(app: FastAPI) -> None:
    """Every refusal is {"detail": one sentence}."""

    @app.exception_handler(InputError)
    def told(request: Request, error: InputError) -> Response:
        status = next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
        more = {"record": record_json(error.current, False)} if isinstance(error, StaleError) else {}
        return wire.answer({"detail": str(error)} | more, status)

    @app.exception_handler(HTTPException)
    def plain(request: Request, error: HTTPException) -> Response:
        return wire.answer({"detail": str(error.detail)}, error.status_code)

    @app.exception_handler(RequestValidationError)
    def query(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return wire.answer({"detail": f"{first['loc'][-1]}: {first['msg']}"}, 422)


def _add_page(app: FastAPI) -> None:
    mimetypes.add_type("text/javascript", ".js")  # a browser runs a module of no other type
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.get("/")
    def page() -> Response:
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})


def _add_queue(app: FastAPI, store: Store, settings: Settings) -> None:
    @app.get("/api/session")
    def session() -> Response:
        counts = dict.fromkeys(STATES, 0)
        for one in list(store.index.values()):
            counts[one.state] += 1
        return wire.answer(
            {
                "schema": store.project.attribute_schema,
                "categories": store.project.category_names,
                "title": store.project.title,
                "project": store.project.id,
                "counts": counts,
                "problems": list(store.problems.values()),
                "version": __version__,
            }
        )

    @app.get("/api/photos")
    def photos(
        state: str = "",
        category: str = "",
        attribute: str = "",
        value: str = "",
        max_confidence: str = "",
        order: str = "name",
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=100_000)] = 200,
    ) -> Response:
        most = _number(max_confidence)

        def wanted(one: Summary) -> bool:
            return (
                (not state or one.state == state)
                and (not category or category in one.categories)
                and (not attribute or _carries(one, attribute, value))
                and (most is None or one.confidence is None or one.confidence <= most)
            )

        if state and state not in STATES:
            raise InputError(f"state {state!r}: expected one of {', '.join(STATES)}.")
        if order not in ("name", "uncertain"):
            raise InputError(f"order {order!r}: expected name or uncertain.")
        found = store.query(wanted, order)
        keys = ("key", "file_name", "state", "instances", "confidence", "comment")
        rows = [{key: getattr(one, key) for key in keys} for one in found[offset : offset + limit]]
        return wire.answer({"total": len(found), "photos": rows})

    @app.post("/api/export")
    async def export(request: Request) -> Response:
        wanted = await wire.body(request, wire.Export)
        done = await run_in_threadpool(write_export, store, settings.out, wanted.states)
        return wire.answer(done)


def _number(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise InputError(f"max_confidence {text!r}: expected a number from 0 to 1.") from None


def _carries(one: Summary, attribute: str, value: str) -> bool:
    """Whether some instance has the attribute, with that value where one is named."""
    values = one.values.get(attribute)
    if values is None or not value:
        return values is not None
    return value in values or any(isinstance(v, int | float) and f"{v:g}" == value for v in values)


def _add_photo(app: FastAPI, store: Store, pictures: Pictures) -> None:
    @app.get("/api/photos/{key}")
    def photo(key: str) -> Response:
        found = store.photo(key)
        return wire.answer(record_json(found, store.fault(found) is not None))

    @app.put("/api/photos/{key}")
    async def save(key: str, request: Request) -> Response:
        edit = await wire.body(request, Edit)
        done = await run_in_threadpool(store.save, key, edit)
        return wire.answer({"revision": done.revision})

    @app.get("/api/photos/{key}/image")
    def image(key: str, request: Request, thumb: Annotated[int | None, Query(ge=16, le=1024)] = None) -> Response:
        found = store.photo(key)
        path = store.path(found)
        if thumb is None and (why := store.fault(found)):
            raise GoneError(why)
        try:
            tag = '"{:x}-{:x}-{}"'.format(*version(path)[1:], thumb or 0)
            headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
            if request.headers.get("if-none-match") == tag:
                return Response(status_code=304, headers=headers)
            data, media = pictures.whole(path) if thumb is None else pictures.thumb(path, thumb)
        except OSError as error:
            raise ImageError(f"{found.file_name}: cannot be read ({error.strerror}).") from error
        return Response(data, media_type=media, headers=headers)


def _add_masks(app: FastAPI, store: Store, pictures: Pictures, clicker: Clicker) -> None:
    def rasterised(asked: wire.Rasterise) -> Response:
        wire.check_size(asked.size)
        parts = [[np.asarray(ring, float).reshape(-1, 2) for ring in part] for part in asked.parts]
        return wire.answer({"segmentation": masks.rle_of_polygons(parts, *asked.size)})

    def outlined(asked: wire.Polygons) -> Response:
        wire.check_size(asked.segmentation.size)
        parts = masks.polygons(masks.decode(asked.segmentation.plain()), asked.tolerance_px)
        return wire.answer({"parts": [[ring.tolist() for ring in part] for part in parts]})

    def clicked(key: str, asked: wire.Clicks) -> Response:
        photo = store.photo(key)
        if why := store.fault(photo):
            raise GoneError(why)
        mask = None
        if asked.segmentation is not None:
            wire.check_size(asked.segmentation.size)
            mask = masks.decode(asked.segmentation.plain()).view(bool)
        points = [(float(x), float(y), int(inside)) for x, y, inside in asked.points]
        box = None if asked.box is None else tuple(float(v) for v in asked.box)
        found = clicker.segment(pictures.rgb(store.path(photo)), points, box, mask)
        return wire.answer({"segmentation": masks.encode(found)})

    @app.post("/api/rasterise")
    async def rasterise(request: Request) -> Response:
        return await run_in_threadpool(rasterised, await wire.body(request, wire.Rasterise))

    @app.post("/api/polygons")
    async def polygons(request: Request) -> Response:
        return await run_in_threadpool(outlined, await wire.body(request, wire.Polygons))

    @app.post("/api/photos/{key}/click")
    async def click(key: str, request: Request) -> Response:
        return await run_in_threadpool(clicked, key, await wire.body(request, wire.Clicks))

"""Who may talk to the editor: pages of its own origin, people with the token, bodies of a size.

A page of another site that the person has open can send requests to 127.0.0.1, and by rebinding its own name to that
address it can even read the answers. So the Host header must be one of ours, an Origin must be our own, and bodies
must be JSON by their Content-Type, which no form of another site can send without asking first.
"""

from __future__ import annotations

import ipaddress
import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; object-src 'none'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_BODIES = ("POST", "PUT", "PATCH", "DELETE")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server bound to `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Guard:
    """hosts: the Host headers that are ours ("127.0.0.1:8765"), None for any, which needs a token: a cookie belongs to
    one name, so a rebound name has none. token: what a browser must show, by ?token= once and then by a cookie, or in
    an Authorization header. max_body: bytes."""

    hosts: frozenset[str] | None
    token: str | None = None
    cookie: str = "segattr"
    max_body: int = 32 * 2**20


def guard(host: str, port: int, token: str | None, max_body: int = Guard.max_body) -> Guard:
    """The rules of a server bound to `host` and `port`."""
    cookie = f"segattr_{port}"  # cookies do not tell ports apart
    if not is_loopback(host):
        return Guard(None, token, cookie, max_body)
    names = {"127.0.0.1", "localhost", "[::1]", f"[{host}]" if ":" in host else host.lower()}
    hosts = {f"{name}:{port}" for name in names} | (names if port == 80 else set())
    return Guard(frozenset(hosts), token, cookie, max_body)


def refusal(status: int, detail: str) -> Response:
    return Response(msgspec.json.encode({"detail": detail}), status, media_type="application/json")


class TooLargeError(Exception):
    """A body beyond the limit."""


class Security:
    """ASGI middleware around everything the editor serves."""

    def __init__(self, app: ASGIApp, guard: Guard):
        self.app, self.guard = app, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":  # there are none
                await send({"type": "websocket.close", "code": 1008})
            else:
                await self.app(scope, receive, send)
            return
        answer = self._refuse(scope) or self._ask_token(scope)
        started = False

        async def stamped(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                # Records change under the same address, and so does the page with a new version of segattr.
                headers.setdefault("Cache-Control", "no-store" if scope["path"].startswith("/api") else "no-cache")
            await send(message)

        if answer is not None:
            await answer(scope, receive, stamped)
            return
        try:
            await self.app(scope, self._limited(receive), stamped)
        except TooLargeError:
            if started:
                raise
            await self._too_large()(scope, receive, stamped)
        except Exception as error:
            logging.getLogger("segattr").exception("%s %s", scope["method"], scope["path"])
            if started:
                raise
            await refusal(500, f"the server failed ({type(error).__name__}); nothing was saved.")(
                scope, receive, stamped
            )

    def _refuse(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = [host.lower() for host in headers.getlist("host")]
        if len(hosts) != 1 or (self.guard.hosts is not None and hosts[0] not in self.guard.hosts):
            return refusal(403, "this server does not go by that name; open the address that segattr printed.")
        origins = headers.getlist("origin")
        if any(origin.lower() not in (f"http://{hosts[0]}", f"https://{hosts[0]}") for origin in origins):
            return refusal(403, "a page of another site asked; only the editor's own page may.")
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none") and not _navigates(headers):
            return refusal(403, "a page of another site asked; only the editor's own page may.")
        if scope["method"] not in _BODIES:
            return None
        if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            return refusal(415, "expected a JSON body with Content-Type: application/json.")
        length = headers.get("content-length")
        if length is not None and (not length.isdecimal() or int(length) > self.guard.max_body):
            return self._too_large()
        return None

    def _too_large(self) -> Response:
        return refusal(413, f"the request is larger than {self.guard.max_body} bytes; nothing was saved.")

    def _limited(self, receive: Receive) -> Receive:
        got = 0

        async def limited() -> Message:
            nonlocal got
            message = await receive()
            if message["type"] == "http.request":
                got += len(message.get("body", b""))
                if got > self.guard.max_body:
                    raise TooLargeError
            return message

        return limited

    def _ask_token(self, scope: Scope) -> Response | None:
        """None for who may come in; for ?token= a redirect that takes the token out of the address."""
        if self.guard.token is None:
            return None
        headers = Headers(scope=scope)
        if self._matches(_cookies(headers.getlist("cookie"), self.guard.cookie)):
            return None
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._matches([shown.strip()]):
            return None
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = query.pop("token", [])
        if scope["method"] == "GET" and scope["path"] == "/" and self._matches(given):
            answer = RedirectResponse("/?" + urlencode(query, doseq=True) if query else "/", 303)
            answer.set_cookie(self.guard.cookie, self.guard.token, httponly=True, samesite="lax", path="/")
            return answer
        return refusal(401, "the token is missing or wrong; open the whole address that segattr printed.")

    def _matches(self, shown: Iterable[str]) -> bool:
        token = self.guard.token.encode()
        return any(secrets.compare_digest(one.encode("utf-8", "surrogateescape"), token) for one in shown)


def _navigates(headers: Headers) -> bool:
    """A link followed from elsewhere to the page itself: harmless, it carries nothing."""
    return headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"


def _cookies(lines: list[str], name: str) -> list[str]:
    found = []
    for line in lines:
        try:
            jar = SimpleCookie(line)
        except CookieError:
            continue
        if name in jar:
            found.append(jar[name].value)
    return found

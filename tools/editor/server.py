"""Run the editor's server until it is told to stop."""

from __future__ import annotations

import errno
import os
import secrets
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ...datasets.errors import InputError
from .store import Store

MIN_TOKEN = 12


@dataclass(frozen=True)
class Address:
    """Where the server listens. port: 0 for any free one. token: what a browser must show, None for nothing."""

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None


def checked(address: Address) -> Address:
    """The address, with a token where it needs one. Raises InputError, also where the server's packages are missing."""
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"the editor needs the package {error.name}: pip install 'segattr[serve]' (--no-serve only pre-annotates)."
        ) from error
    from .security import is_loopback

    if not 0 <= address.port <= 65535:
        raise InputError(f"--port {address.port}: expected 0 (any free one) to 65535.")
    token = address.token
    # A cookie carries it: no quotes, commas, semicolons or backslashes.
    if token is not None and (len(token) < MIN_TOKEN or not all(c.isalnum() or c in "-._~" for c in token)):
        raise InputError(f"--token: expected at least {MIN_TOKEN} letters, digits or -._~, or leave it out.")
    if token is not None and not token.isascii():
        raise InputError("--token: expected ASCII letters.")
    if token is None and not is_loopback(address.host):
        return replace(address, token=secrets.token_urlsafe(24))
    return address


def listening(address: Address) -> socket.socket:
    """A listening socket. Raises InputError where the port is taken or the address is not this machine's."""
    host = address.host.strip("[]")
    try:
        family = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, address.port), family=family, backlog=128)
    except (OSError, UnicodeError) as error:
        taken = getattr(error, "errno", None) == errno.EADDRINUSE
        mend = "another program has that port: choose another --port" if taken else "choose another --host or --port"
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{address.host}:{address.port}: cannot listen there ({why}); {mend}.") from error


def page_url(address: Address, port: int) -> str:
    """What to open in a browser; the token in it is swapped for a cookie at the first visit."""
    host = address.host.strip("[]")
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/" + (f"?token={address.token}" if address.token else "")


def serve(store: Store, out: Path, address: Address, *, browser: bool) -> None:
    """Serve the editor until Ctrl-C or SIGTERM. address: as `checked` gave it. browser: open the page there too."""
    import uvicorn

    from .app import Settings, create_app
    from .clicks import GrabCut
    from .security import guard

    with listening(address) as socket_:
        port = socket_.getsockname()[1]
        settings = Settings(out, guard(address.host, port, address.token))
        config = uvicorn.Config(
            create_app(store, settings, GrabCut()),
            log_level="warning",
            access_log=False,  # addresses with the token do not belong into a log
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_graceful_shutdown=3,
        )
        page = page_url(address, port)
        with _stoppable():
            # Inside: who has read the address may press Ctrl-C before the server has taken over the signal.
            print(f"The editor: {page} (Ctrl-C ends it)", flush=True)
            if browser:
                _open(page)
            uvicorn.Server(config).run(sockets=[socket_])


@contextmanager
def _stoppable() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the block and nothing more. uvicorn shuts down at a signal and then raises it again."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _open(page: str) -> None:
    """Show the page, where there is a screen: a text browser would take over the terminal."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()

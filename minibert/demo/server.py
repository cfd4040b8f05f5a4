"""HTTP for the page: its files, and JSON from the views. Nobody but this machine is answered, unless the caller says so.

What is refused: other names for this server in Host (a page elsewhere that points its own name at 127.0.0.1), other places in
Origin (a page elsewhere that posts here), and bodies of more than 64 KB. Computing happens in as many threads as there are cores;
whoever has hung up before it is their turn is not computed for.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.requests import Request as Http
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from minibert.demo.views import ENDPOINTS, Request, Views
from minibert.training.workers import available_cores

PAGE = Path(__file__).parent / "page"
BODY_LIMIT = 64 * 1024  # bytes
PORTS = 100  # that are tried, from the one that was asked for
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
                               "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
                               "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}


class Refused(ValueError):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def application(views: Views, *, watch: Callable[[], dict] | None = None, loopback: bool = True) -> Starlette:
    """The web application. ``watch``: what ``/api/watch`` answers. ``loopback``: only names of this machine for itself."""
    turns: anyio.CapacityLimiter | None = None

    async def answer(http: Http, compute: Callable[[], dict]) -> Response:
        nonlocal turns
        turns = turns or anyio.CapacityLimiter(available_cores())  # belongs to the loop that runs
        async with turns:
            if await http.is_disconnected():
                return Response(status_code=499)
            try:
                return _json(await anyio.to_thread.run_sync(compute))
            except (ValueError, TypeError, IndexError) as error:
                return _json({"error": str(error)}, 400)
            except (MemoryError, ArithmeticError, RuntimeError, OSError) as error:
                return _json({"error": f"this could not be computed: {error or type(error).__name__}"}, 500)

    def post(name: str) -> Route:
        view = getattr(views, name)

        async def endpoint(http: Http) -> Response:
            try:
                body = await _body(http)
                request = Request.of(body)
            except Refused as error:
                return _json({"error": str(error)}, error.status)
            except (ValueError, TypeError) as error:
                return _json({"error": str(error)}, 400)
            except ClientDisconnect:
                return Response(status_code=499)
            return await answer(http, lambda: view(request))

        return Route(f"/api/{name}", endpoint, methods=["POST"])

    def get(path: str, compute: Callable[[], dict]) -> Route:
        async def endpoint(http: Http) -> Response:
            return await answer(http, compute)

        return Route(path, endpoint, methods=["GET"])

    async def index(http: Http) -> Response:
        return FileResponse(PAGE / "index.html", media_type="text/html; charset=utf-8")

    routes = [
        Route("/", index), get("/api", documentation),
        get("/api/model", lambda: {**views.model(), "watching": watch is not None}),
        *(post(endpoint.name) for endpoint in ENDPOINTS), *([get("/api/watch", watch)] if watch else []),
        Mount("/page", StaticFiles(directory=PAGE)),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Guard, loopback=loopback)])


def documentation() -> dict:
    """What the endpoints are, for ``GET /api`` and for the page."""
    fields = {"text": "the sentence; [MASK] may stand in it", "pair": "a second text",
              "hide": "token positions to hide; [CLS] is 0",
              "off": "heads to switch off: [[layer, head], …]", "top": "how many words or neighbours", "layer": "of scores",
              "head": "of scores", "position": "a token: the query of scores, the mask of attribution, whose neighbours",
              "word": "whose attribution; by default the best guess", "steps": "of the integral"}
    rows = [("POST", f"/api/{e.name}", e.does, e.example) for e in ENDPOINTS] + [
        ("GET", "/api/model", "the model, and sentences to begin with", None),
        ("GET", "/api/watch", "a run's curves and probes, with --watch", None)]
    return {"endpoints": [dict(zip(("method", "path", "answers", "example"), row)) for row in rows], "fields": fields}


class Guard:
    """Looks at Host and Origin of every request, and adds the headers that keep a browser from asking anybody else."""

    def __init__(self, app: Any, loopback: bool) -> None:
        self.app, self.loopback = app, loopback

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def sending(message: dict) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *((k.encode(), v.encode()) for k, v in HEADERS.items())]
            await send(message)

        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        if not self.knows(host):
            refusal = f"this server is not {_short(host)}: open the address that it printed"
        elif origin is not None and origin.lower() != f"http://{host}".lower():
            refusal = f"requests from pages of {_short(origin)} are not answered"
        else:
            return await self.app(scope, receive, sending)
        await _json({"error": refusal}, 403)(scope, receive, sending)

    def knows(self, host: str) -> bool:
        """A name that is a number cannot be pointed elsewhere; of other names only those that are surely this machine's."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        name = name.strip("[]").lower()
        if name == "localhost":
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return not self.loopback and name in {socket.gethostname().lower(), socket.getfqdn().lower()}
        return address.is_loopback or not self.loopback


async def _body(http: Http) -> Any:
    claimed = http.headers.get("content-length", "0")
    if not claimed.isdigit():
        raise Refused(400, "Content-Length is no number")
    if int(claimed) > BODY_LIMIT:
        raise Refused(413, f"the request has {int(claimed):,} bytes; at most {BODY_LIMIT:,} are read")
    body = b""
    async for chunk in http.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise Refused(413, f"the request has more than {BODY_LIMIT:,} bytes, which is the most that is read")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise ValueError(f'the body is not JSON ({reason}); send for example {{"text": "a sentence"}}') from None


def _json(content: dict, status: int = 200) -> Response:
    return Response(json.dumps(content, separators=(",", ":"), allow_nan=False), status, media_type="application/json")


def bound(host: str, port: int) -> socket.socket:
    """A listening socket at ``port``, or at the next one that is free; OSError where a hundred are taken. 0: any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    last = port if port == 0 else min(port + PORTS - 1, 65535)
    for number in range(port, last + 1):
        server = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, or asyncio leaves Nagle's delay on: 40 ms
        if os.name == "posix":  # elsewhere this option would share a port that is in use
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((host, number))
            server.listen(2048)
            return server
        except OSError as error:
            server.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise OSError(error.errno, f"{host}:{number} cannot be listened on: {error.strerror or error}") from None
    raise OSError(errno.EADDRINUSE, f"the ports {port} to {last} are all in use; give another --port")


def serve(app: Starlette, server: socket.socket, *, ready: Callable[[], None] = lambda: None) -> None:
    """Answer until Ctrl-C."""
    import uvicorn

    class Announced(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            ready()

    Announced(uvicorn.Config(app, log_level="error", access_log=False, lifespan="off", ws="none", timeout_keep_alive=30,
                             timeout_graceful_shutdown=2)).run(sockets=[server])


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")

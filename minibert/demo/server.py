"""HTTP for the page: its files, and JSON from the views. Nobody but this machine is answered, unless the caller says so.

What is refused: other names for this server in Host (a page elsewhere that points its own name at 127.0.0.1), other places in
Origin (a page elsewhere that posts here), and bodies of more than 64 KB. Computing happens in as many threads as there are cores,
and beside them in one that takes the long requests, one after the other, so that nobody waits for another's long one. Whoever has
hung up before it is their turn is not computed for; a long request ends soon after whoever asked has gone, or the server goes.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import json
import os
import socket
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.requests import Request as Http
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from minibert.demo.views import ENDPOINTS, Request, Views
from minibert.files import brief, loads_json
from minibert.shell import command
from minibert.workers import available_cores

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


ENDED = {"error": "the demo has ended"}


class Refused(ValueError):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Gone(Exception):
    """Nobody waits for the answer any more."""


def application(views: Views, *, watch: Callable[[int | None, int], dict] | None = None, loopback: bool = True) -> Starlette:
    """The web application. ``watch(step, probe)``: what ``/api/watch`` answers. ``loopback``: only this machine's own names."""
    turns: dict[bool, anyio.CapacityLimiter] = {}  # of short and of long requests; they belong to the loop that runs
    ending = threading.Event()

    async def answer(http: Http, compute: Callable[[], dict], long: bool = False) -> Response:
        if long not in turns:
            turns[long] = anyio.CapacityLimiter(1 if long else available_cores())
        async with turns[long]:
            if await http.is_disconnected():
                return Response(status_code=499)
            return await anyio.to_thread.run_sync(_answered, compute)

    async def awaited(http: Http, compute: Callable[..., dict]) -> Response:
        """The answer of ``compute(progress)``, where ``progress`` raises as soon as nobody waits for it."""
        gone = threading.Event()

        def progress(*_: int) -> None:
            if gone.is_set() or ending.is_set():
                raise Gone

        def begin() -> dict:
            progress()
            return compute(progress)

        async def listen() -> None:
            while (await http.receive())["type"] != "http.disconnect":
                pass
            gone.set()

        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            try:
                return await answer(http, begin, long=True)
            finally:
                gone.set()
                group.cancel_scope.cancel()

    def post(name: str, long: bool) -> Route:
        view = getattr(views, name)

        async def endpoint(http: Http) -> Response:
            try:
                request = Request.of(await _body(http))
            except Refused as error:
                return _json({"error": str(error)}, error.status)
            except (ValueError, TypeError) as error:
                return _json({"error": str(error)}, 400)
            except ClientDisconnect:
                return Response(status_code=499)
            return await (awaited if long else answer)(http, partial(view, request))

        return Route(f"/api/{name}", endpoint, methods=["POST"])

    def get(path: str, compute: Callable[[Http], dict]) -> Route:
        async def endpoint(http: Http) -> Response:
            return await answer(http, partial(compute, http))

        return Route(path, endpoint, methods=["GET"])

    async def index(http: Http) -> Response:
        return FileResponse(PAGE / "index.html", media_type="text/html; charset=utf-8")

    routes = [
        Route("/", index), get("/api", partial(documentation, views)),
        get("/api/model", lambda http: {**views.model(), "watching": watch is not None}),
        *(post(endpoint.name, endpoint.long) for endpoint in ENDPOINTS),
        *([get("/api/watch", lambda http: watch(_number(http, "step", None), _number(http, "probe", 0)))] if watch else []),
        Mount("/page", StaticFiles(directory=PAGE)),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(Guard, loopback=loopback)])
    app.state.ending = ending
    return app


def documentation(views: Views, http: Http) -> dict:
    """What the endpoints are, for ``GET /api`` and for the page; ``command``: a line to try, for the shell of this platform.
    """
    fields = {"text": "the sentence; [MASK] may stand in it", "pair": "a second text",
              "hide": "token positions to hide; [CLS] is 0",
              "off": "heads to switch off: [[layer, head], …]", "top": "how many words or neighbours",
              "layer": "of attention, scores, rollout and tree", "head": "of attention and scores",
              "position": "a token: the query of attention, scores and rollout, the mask of layers and attribution, whose "
                          "neighbours",
              "word": "whose attribution; by default the best guess", "steps": "of the integral"}
    rows = [{"method": "POST", "path": f"/api/{e.name}", "answers": e.does, "example": e.example,
             "command": command("curl", f"{http.base_url}api/{e.name}", "-d", json.dumps(e.example))}
            for e in ENDPOINTS if not e.needs or getattr(views, e.needs) is not None]
    rows += [{"method": "GET", "path": path, "answers": does, "example": None, "command": None} for path, does in (
        ("/api/model", "the model, and sentences to begin with"),
        ("/api/watch?step=…&probe=…", "with --watch: a run's curves, and what it made of a sentence at a step or at last"))]
    return {"endpoints": rows, "fields": fields}


class Guard:
    """Looks at Host and Origin of every request, and adds the headers that keep a browser from asking anybody else.

    A request that the server's end cuts off is told so.
    """

    def __init__(self, app: Any, loopback: bool) -> None:
        self.app, self.loopback = app, loopback
        self.names = {"localhost"} if loopback else {"localhost", socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        begun = False

        async def sending(message: dict) -> None:
            nonlocal begun
            begun = True
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
            try:
                return await self.app(scope, receive, sending)
            except asyncio.CancelledError:  # the server ends, and has waited long enough
                return None if begun else await _json(ENDED, 503)(scope, receive, sending)
        await _json({"error": refusal}, 403)(scope, receive, sending)

    def knows(self, host: str) -> bool:
        """A name that is a number cannot be pointed elsewhere; of other names only those that are surely this machine's."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        name = name.strip("[]").lower()
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in self.names
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
        return loads_json(body)
    except ValueError as error:
        raise ValueError(f'the body is not JSON ({error}); send for example {{"text": "a sentence"}}') from None


def _number(http: Http, name: str, default: int | None) -> int | None:
    """A whole number of the address, from what stands behind its question mark."""
    given = http.query_params.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 16):
        raise ValueError(f"{name} must be a whole number, got {brief(given)}")
    return int(given)


def _answered(compute: Callable[[], dict]) -> Response:
    """What was computed, or why it could not be, as JSON: all of it in the thread that computes."""
    try:
        content = compute()
    except Gone:
        return _json(ENDED, 503)
    except (ValueError, TypeError, IndexError) as error:
        return _json({"error": str(error)}, 400)
    except (MemoryError, ArithmeticError, RuntimeError, OSError) as error:
        return _json({"error": f"this could not be computed: {error or type(error).__name__}"}, 500)
    try:
        return _json(content)
    except ValueError:  # NaN or infinity, for which JSON has no name
        return _json({"error": "the model answers with numbers that are not finite: its weights are damaged, or its training "
                      "went astray"}, 500)


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


class Server(uvicorn.Server):
    """``run(sockets=[…])`` answers until Ctrl-C. ``ready`` is called when it does."""

    def __init__(self, app: Starlette, ready: Callable[[], None] = lambda: None) -> None:
        super().__init__(uvicorn.Config(app, log_level="error", access_log=False, lifespan="off", ws="none",
                                        timeout_keep_alive=30, timeout_graceful_shutdown=2))
        self.ready, self.ending = ready, app.state.ending

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.ready()

    async def shutdown(self, sockets: Any = None) -> None:
        self.ending.set()
        await super().shutdown(sockets)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")

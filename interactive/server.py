"""The page's server: one session, known to whoever has the token, on this machine alone unless told otherwise.

Nothing that a page sends is taken for a path. Requests need the token as the first part of their path, a `Host` that
was allowed (against DNS rebinding), and no foreign `Origin`; their bodies are limited.
"""

import asyncio
import io
import json
import logging
import secrets
import socket
import tempfile
import zipfile
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import IO, Any

import cv2
import numpy as np
import simplejpeg
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interactive.exports import COLOURS, SUFFIXES, export
from interactive.jobs import Busy, Desk
from interactive.prompts import from_json, to_json
from interactive.propagation import DIRECTIONS
from interactive.session import InteractiveSession
from util.errors import InputError, describe

MOST_BYTES = 1 << 20  # of a request
TOO_LARGE = f"the request is larger than {MOST_BYTES >> 10} KB"
THUMBNAIL = 96  # pixels of its height
FRAME_QUALITY = 88  # of JPEG
PATIENCE = 10.0  # seconds for a job to end
HEARTBEAT, GATHER = 10.0, 0.05  # seconds between signs of life, and in which changes are put together
LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
PAGE = Path(__file__).parent / "page"
FILES = {"": "index.html", "page.js": "page.js", "page.css": "page.css"}
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
FOREVER = {"Cache-Control": "private, max-age=86400, immutable"}

logger = logging.getLogger(__name__)


class Guard:
    """Lets only requests through that come from the page itself, and not too large ones.

    Args:
        app: gets paths without the token.
        token: the first part of every path.
        hosts: names under which the server may be asked, without ports.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Collection[str]) -> None:
        self._app, self._token, self._hosts = app, token.encode(), frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *own]
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._fault(scope, headers)
        if refused is not None:
            await refused(scope, receive, send_guarded)
            return
        body = 0

        async def receive_limited() -> Message:
            nonlocal body
            message = await receive()
            body += len(message.get("body", b""))
            if body > MOST_BYTES:
                raise HTTPException(413, TOO_LARGE)
            return message

        path = scope["path"][1 + len(self._token) :]
        await self._app({**scope, "path": path, "raw_path": path.encode()}, receive_limited, send_guarded)

    def _fault(self, scope: Scope, headers: Mapping[str, str]) -> Response | None:
        host = headers.get("host", "")
        if host.rpartition(":")[0 if host.rpartition(":")[2].isdecimal() else 2] not in self._hosts:
            return PlainTextResponse("this name is not known here; start the program with --allow_host NAME", 403)
        origin = headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return PlainTextResponse("this request comes from another page", 403)
        first, slash, _ = scope["path"][1:].partition("/")
        if not slash or not secrets.compare_digest(first.encode("utf-8", "surrogatepass"), self._token):
            return PlainTextResponse(
                "open the address that the program has printed; its token is missing or wrong", 403
            )
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 12 or int(length) > MOST_BYTES:
            return PlainTextResponse(TOO_LARGE, 413)
        return None


class PageServer:
    """Answers the page.

    Args:
        session: what it works on.
    """

    def __init__(self, session: InteractiveSession) -> None:
        self.session = session
        self.desk = Desk()
        self._files = {name: (PAGE / file).read_bytes() for name, file in FILES.items()}
        self._commands: dict[str, Callable[[Mapping[str, Any]], Any]] = {
            "prompt": self._prompt,
            "clear": self._clear,
            "confirm": self._confirm,
            "look": self._look,
            "add": self._add,
            "change": self._change,
            "remove": self._remove,
            "undo": self._undo,
            "redo": self._redo,
            "propagate": self._propagate,
            "stop": self._stop,
            "export": self._export,
        }

    def app(self, token: str, hosts: Collection[str]) -> ASGIApp:
        """The guarded application."""
        routes = [
            Route("/state", self._state),
            Route("/events", self._events),
            Route("/frame/{index:int}.jpg", self._frame),
            Route("/thumbnail/{index:int}.jpg", self._thumbnail),
            Route("/mask/{index:int}.png", self._mask),
            Route("/prompts/{index:int}", self._prompts),
            Route("/export/{form}", self._download),
            Route("/do/{command}", self._do, methods=["POST"]),
            Route("/{file:path}", self._file),
        ]
        return Guard(Starlette(routes=routes, exception_handlers={Exception: _fault}), token, hosts)

    def state(self) -> dict[str, Any]:
        """What the page shows, but for pictures and masks."""
        session, progress = self.session, self.desk.progress
        height, width = session.source.size
        folder = session.folder
        objects = [{**asdict(thing), "colour": COLOURS[(thing.id - 1) % len(COLOURS)]} for thing in session.objects]
        alive = {thing["id"] for thing in objects}
        quality = {k: _percent(session.known.quality[k]) for k in alive}
        return {
            "video": {
                "name": session.name,
                "frames": len(session),
                "width": width,
                "height": height,
                "rate": float(session.source.rate),
            },
            "objects": objects,
            "corrected": {
                i: sorted(found & alive) for i, found in dict(session.known.corrected).items() if found & alive
            },
            "pending": sorted(session.waiting()),
            "masks": "".join(np.where(session.known.has_mask, "1", "0")),
            "quality": quality,
            "neediest": session.neediest_frame(),
            "undo": folder.done[-1].kind if folder.done else None,
            "redo": folder.undone[-1].kind if folder.undone else None,
            "job": None if progress is None else asdict(progress),
            "exports": [form for form in SUFFIXES if self._written(form).exists()],
        }

    async def _state(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self.state), headers={"Cache-Control": "no-store"})

    async def _file(self, request: Request) -> Response:
        name = request.path_params["file"]
        if name not in self._files:
            return PlainTextResponse("there is nothing here", 404)
        kind = TYPES[Path(FILES[name]).suffix]
        return Response(self._files[name], media_type=kind, headers={"Cache-Control": "no-cache"})

    async def _frame(self, request: Request) -> Response:
        return await self._picture(request, self._jpeg, "image/jpeg", FOREVER)

    async def _thumbnail(self, request: Request) -> Response:
        return await self._picture(request, self._small_jpeg, "image/jpeg", FOREVER)

    async def _mask(self, request: Request) -> Response:
        return await self._picture(request, self._grey_png, "image/png", {"Cache-Control": "no-store"})

    async def _picture(
        self, request: Request, make: Callable[[int], bytes], kind: str, headers: dict[str, str]
    ) -> Response:
        index = request.path_params["index"]
        if index >= len(self.session):
            return PlainTextResponse("there is no such frame", 404)
        try:
            return Response(await run_in_threadpool(make, index), media_type=kind, headers=headers)
        except (InputError, OSError) as error:
            return PlainTextResponse(describe(error) or str(error), 422)

    def _jpeg(self, index: int) -> bytes:
        return simplejpeg.encode_jpeg(self.session.frame(index), quality=FRAME_QUALITY, colorsubsampling="420")

    def _small_jpeg(self, index: int) -> bytes:
        frame = self.session.frame(index)
        width = max(1, round(THUMBNAIL * frame.shape[1] / frame.shape[0]))
        small = cv2.resize(frame, (width, THUMBNAIL), interpolation=cv2.INTER_AREA)
        return simplejpeg.encode_jpeg(small, quality=75, colorsubsampling="420")

    def _grey_png(self, index: int) -> bytes:
        """The ids as grey, which a page reads without a palette."""
        buffer = io.BytesIO()
        Image.fromarray(self.session.mask(index)).save(buffer, format="PNG", compress_level=1)
        return buffer.getvalue()

    async def _prompts(self, request: Request) -> Response:
        index = request.path_params["index"]
        if index >= len(self.session):
            return JSONResponse({"error": "there is no such frame"}, 404)
        found = await run_in_threadpool(self.session.prompts, index)
        return JSONResponse({str(k): [to_json(prompt) for prompt in given] for k, given in found.items()})

    async def _events(self, request: Request) -> Response:
        return StreamingResponse(self._stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    async def _stream(self) -> AsyncIterator[str]:
        listener = self.desk.listen()
        try:
            yield "retry: 1000\n\n"
            while not self.desk.closed:
                frames, everything = await listener.changes(HEARTBEAT)
                progress = self.desk.progress
                told = {
                    "frames": {index: self._told(index) for index in frames},
                    "all": everything,
                    "job": None if progress is None else asdict(progress),
                }
                yield f"data: {json.dumps(told)}\n\n"
                await asyncio.sleep(GATHER)
        finally:
            self.desk.leave(listener)

    def _told(self, index: int) -> dict[int, int]:
        """The quality of each object on a frame, as in `state`."""
        return {
            thing.id: _percent(self.session.known.quality[thing.id][index : index + 1])[0]
            for thing in self.session.objects
        }

    async def _do(self, request: Request) -> Response:
        """A command: a JSON object with its arguments."""
        command = self._commands.get(request.path_params["command"])
        if command is None:
            return JSONResponse({"error": "there is no such command"}, 404)
        body = await request.body()
        try:
            given = json.loads(body or b"{}")
            if not isinstance(given, dict):
                raise ValueError("a command takes a JSON object")
        except (ValueError, RecursionError) as error:
            return JSONResponse({"error": f"this is no command ({_short(error)})"}, 400)
        try:
            answer = await run_in_threadpool(command, given)
        except Busy as error:
            return JSONResponse({"error": str(error)}, 409)
        except ValueError as error:
            return JSONResponse({"error": _short(error)}, 400)
        except Exception as error:
            said = describe(error)
            if said is None:
                raise
            return JSONResponse({"error": said}, 507 if isinstance(error, OSError) else 422)
        return JSONResponse(answer or {})

    def _prompt(self, given: Mapping[str, Any]) -> None:
        index, prompt = self._index(given), from_json(given.get("prompt"))
        with self.desk.first():
            self.session.prompt(index, _whole(given, "object"), prompt)
        self.desk.tell({index}, everything=True)

    def _clear(self, given: Mapping[str, Any]) -> None:
        index = self._index(given)
        self.session.clear(index, _whole(given, "object"))
        self.desk.tell({index}, everything=True)

    def _confirm(self, given: Mapping[str, Any]) -> None:
        index = self._index(given)
        self.session.confirm(index)
        self.desk.tell({index}, everything=True)

    def _look(self, given: Mapping[str, Any]) -> None:
        """The person rests at a frame: what a click on it will need is made now."""
        index = self._index(given)
        with self.desk.first():
            self.session.encode(index)

    def _add(self, given: Mapping[str, Any]) -> dict[str, int]:
        k = self.session.add_object(_text(given, "name") or "")
        self.desk.tell(everything=True)
        return {"object": k}

    def _change(self, given: Mapping[str, Any]) -> None:
        hidden = given.get("hidden")
        if not isinstance(hidden, bool | None):
            raise ValueError("hidden is true or false")
        self.session.change_object(_whole(given, "object"), name=_text(given, "name"), hidden=hidden)
        self.desk.tell(everything=True)

    def _remove(self, given: Mapping[str, Any]) -> None:
        self._require_rest()
        self.session.remove_object(_whole(given, "object"))
        self.desk.tell(set(range(len(self.session))), everything=True)

    def _undo(self, given: Mapping[str, Any]) -> dict[str, str | None]:
        return self._move(self.session.undo)

    def _redo(self, given: Mapping[str, Any]) -> dict[str, str | None]:
        return self._move(self.session.redo)

    def _move(self, move: Callable[[], Any]) -> dict[str, str | None]:
        self._require_rest()
        step = move()
        self.desk.tell(set(range(len(self.session))), everything=True)
        return {"step": None if step is None else step.kind}

    def _propagate(self, given: Mapping[str, Any]) -> None:
        directions = given.get("directions", list(DIRECTIONS))
        if not isinstance(directions, list) or not directions or any(d not in DIRECTIONS for d in directions):
            raise ValueError(f"directions are a list of {' and '.join(DIRECTIONS)}")
        start = None if given.get("frame") is None else self._index(given)
        session = self.session
        total = len(session.pending(start, directions))
        if not total:
            raise ValueError("there is nothing to propagate; click an object first, or correct a frame")

        def work(desk: Desk) -> str:
            done = 0
            for done, index in enumerate(session.propagate(directions, start, cancelled=desk.cancelled), start=1):
                desk.advance(done, max(done, total), index)
            return f"{done} frames"

        self.desk.start("propagation", work, total)

    def _stop(self, given: Mapping[str, Any]) -> None:
        self.desk.stop()

    def _export(self, given: Mapping[str, Any]) -> None:
        form = given.get("form")
        if not isinstance(form, str) or form not in SUFFIXES:
            raise ValueError(f"form is one of {', '.join(SUFFIXES)}")
        session = self.session
        left_out = 0 if form == "overlay" else int((~session.known.has_mask).sum())

        def work(desk: Desk) -> str:
            path = export(session, form, self._exports, desk.advance, desk.cancelled)
            return f"{path}" + (f"; {left_out} frames without a mask are left out" if left_out else "")

        self.desk.start(f"export {form}", work, len(session) - left_out)

    @property
    def _exports(self) -> Path:
        return self.session.folder.folder / "export"

    def _written(self, form: str) -> Path:
        return self._exports / f"{form}{SUFFIXES[form]}"

    async def _download(self, request: Request) -> Response:
        """A finished export; folders come as an archive."""
        form = request.path_params["form"]
        if form not in SUFFIXES or not (path := self._written(form)).exists():
            return PlainTextResponse("this has not been exported yet", 404)
        name = f"{_safe(self.session.name)}-{form}"
        if path.is_file():
            return FileResponse(path, filename=name + path.suffix)
        archive = await run_in_threadpool(_pack, path)
        disposition = {"Content-Disposition": f'attachment; filename="{name}.zip"'}
        return StreamingResponse(_blocks(archive), media_type="application/zip", headers=disposition)

    def _require_rest(self) -> None:
        if self.desk.is_running:
            raise Busy("stop what is running first")

    def _index(self, given: Mapping[str, Any]) -> int:
        index = _whole(given, "frame")
        if index >= len(self.session):
            raise ValueError(f"there is no frame {index}; the video has {len(self.session)}")
        return index


def serve(page: PageServer, listener: socket.socket, token: str, hosts: Collection[str]) -> "Serving":
    """A server that answers on a listening socket once it is run."""
    config = uvicorn.Config(
        page.app(token, hosts), log_level="warning", lifespan="off", timeout_graceful_shutdown=2, server_header=False
    )
    return Serving(config, page, listener)


class Serving(uvicorn.Server):
    """Ends at once, although pages are open and something is running."""

    def __init__(self, config: uvicorn.Config, page: PageServer, listener: socket.socket) -> None:
        super().__init__(config)
        self._page, self._listener = page, listener

    def serve_until_stopped(self) -> None:
        """Answer until a signal comes, or `stop` is called."""
        try:
            self.run([self._listener])
        finally:
            self._page.desk.close()
            self._page.desk.wait(PATIENCE)

    def stop(self) -> None:
        """Let the pages go, and end."""
        self._page.desk.close()
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See `uvicorn.Server`."""
        self._page.desk.close()
        super().handle_exit(sig, frame)


async def _fault(request: Request, error: Exception) -> Response:
    """An error of the program: the page says it, and the session goes on."""
    return JSONResponse({"error": f"an error of the program ({type(error).__name__}); what was saved is safe"}, 500)


def _whole(given: Mapping[str, Any], name: str) -> int:
    value = given.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 31:
        raise ValueError(f"{name} is a whole number from 0")
    return value


def _text(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if not isinstance(value, str | None):
        raise ValueError(f"{name} is a text")
    return None if value is None else value.encode("utf-8", "replace").decode()


def _short(error: Exception) -> str:
    return str(error)[:200]


def _safe(name: str) -> str:
    return "".join(char if char.isascii() and (char.isalnum() or char in "-_.") else "_" for char in name)


def _percent(quality: np.ndarray) -> list[int]:
    """Quality in percent; -1 where it is not known."""
    return np.where(np.isfinite(quality), np.nan_to_num(quality).clip(0, 1) * 100, -1).round().astype(int).tolist()


def _pack(folder: Path) -> IO[bytes]:
    """The files of a folder as an archive that is gone when it is closed."""
    archive = tempfile.TemporaryFile()  # noqa: SIM115 (whoever sends it closes it)
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                packed.write(path, str(path.relative_to(folder)))
    archive.seek(0)
    return archive


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    with stream:
        while block := stream.read(1 << 16):
            yield block

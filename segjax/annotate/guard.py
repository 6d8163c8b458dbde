"""What every request passes before it is answered: host, token, size; and what answers carry."""

import html
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = ("127.0.0.1", "localhost", "[::1]")
LARGEST_BODY = 64 * 1024  # bytes; an edit takes a few hundred
HEADERS = {
    # Scripts come from this server alone, and nothing is loaded from anywhere else
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def refusal(status: int, message: str, **more: object) -> JSONResponse:
    """An answer that says in one line why there is none."""
    # Or the rest of a large body would still be received, and thrown away
    headers = {"Connection": "close"} if status == 413 else None
    return JSONResponse({"message": message, **more}, status, headers)


def page_of(status: int, sentence: str) -> HTMLResponse:
    """The same for a person, who has opened an address."""
    return HTMLResponse(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>segjax</title>'
        f"<p>{html.escape(sentence)}</p></html>\n",
        status,
    )


class Guard:
    """Lets requests through that come to this machine by name and have the token in their path.

    The port in `Host` is not looked at: a tunnel may end at another one.
    """

    def __init__(self, app: ASGIApp, token: str):
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or refuses it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if refused := self._refused(scope):
            await refused(scope, receive, with_headers)
            return
        if scope["path"] == f"/{self._token}":  # programs that pass addresses on drop the slash
            await RedirectResponse(f"/{self._token}/")(scope, receive, with_headers)
            return
        inner = dict(scope)
        inner["path"] = scope["path"][1 + len(self._token) :]
        inner["raw_path"] = inner["path"].encode()
        await self._app(inner, receive, with_headers)

    def _refused(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or _name_of(hosts[0]) not in HOSTS:
            return refusal(403, f"takes requests to {', '.join(HOSTS)} only")
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{hosts[0]}":
            return refusal(403, "takes requests of its own page only")
        first = scope["path"][1:].partition("/")[0]
        if not secrets.compare_digest(first.encode(), self._token.encode()):
            if "/api/" not in scope["path"]:
                return page_of(403, "Open the whole address that `segjax annotate` printed.")
            return refusal(403, "takes the whole address that `segjax annotate` printed")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            return refusal(413, f"takes at most {LARGEST_BODY} bytes")
        return None


async def body_of(request: Request) -> bytes | None:
    """The body; None where it is larger than is taken, whatever its headers said."""
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > LARGEST_BODY:
            return None
    return bytes(found)


def _name_of(host: str) -> str:
    """A host without its port, in small letters."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()

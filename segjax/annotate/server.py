"""The server behind the page: what it answers to each request."""

import functools
import json
import math
import pathlib
import re
from collections.abc import Callable, Mapping

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

import segjax
from segjax.annotate import findings, photographs, progress, reading
from segjax.annotate.guard import LARGEST_BODY, Guard, body_of, page_of, refusal
from segjax.annotate.photographs import Folder, Opened, Unreadable
from segjax.annotate.proposals import Proposals
from segjax.annotate.store import AnnotationFile, Held, NotSaved, OtherState, other_picture
from segjax.data import regions
from segjax.errors import UserError

PAGE = pathlib.Path(__file__).parent / "page"
KINDS = {".js": "text/javascript", ".css": "text/css", ".html": "text/html"}
# Upper row of the keyboard for superior regions, lower row for inferior ones
REGION_KEYS = dict(zip(regions.REGIONS, "qawsedrf", strict=True))


class Missing(Exception):
    """There is nothing under this address."""


class Server:
    """Answers of one folder and one annotation file.

    Args:
        folder: of photographs.
        file: where readings go, with the list of findings to choose from.
        proposals: of trained networks.
    """

    def __init__(self, folder: Folder, file: AnnotationFile, proposals: Proposals):
        self._folder, self._file, self._proposals = folder, file, proposals

    @property
    def _findings(self) -> dict[str, str]:
        """The list, label by name: that of the file, which an import may have added to."""
        return findings.held(self._file)

    def app(self, token: str) -> Guard:
        """The application; every address begins with the token."""
        image, person = "/api/images/{image}", "/api/annotators/{annotator}"
        routes = [
            Route("/", _page("index.html")),
            Route("/progress", _page("progress.html")),
            *(Route(f"/static/{path.name}", _page(path.name)) for path in PAGE.iterdir()),
            Route("/api/session", _answer(self._session)),
            Route("/api/progress", _answer(self._progress)),
            Route("/api/annotators", _answer(self._annotator), methods=["POST"]),
            Route(f"{person}/images", _answer(self._images)),
            Route(f"{person}/images/{{image}}", _answer(self._image)),
            Route(f"{person}/images/{{image}}/edits", _answer(self._edit), methods=["POST"]),
            Route(f"{person}/images/{{image}}/proposal", _answer(self._proposal)),
            Route(f"{image}/overview", _answer(self._overview)),
            Route(f"{image}/tiles/{{level}}/{{row}}/{{column}}", _answer(self._tile)),
            Route(f"{image}/activation/{{finding}}", _answer(self._activation)),
        ]
        return Guard(Starlette(routes=routes, exception_handlers={404: _nothing}), token)

    # --- what there is -------------------------------------------------------------------------

    def _session(self, request: Request) -> Response:
        labels = {name: name.replace("_", " ") for name in regions.REGIONS}
        return JSONResponse(
            {
                "folder": self._folder.path.resolve().name,
                "images": len(self._folder.readable),
                "version": segjax.__version__,
                "regions": [
                    {"name": name, "label": label, "key": REGION_KEYS[name]}
                    for name, label in labels.items()
                ],
                "findings": [{"name": n, "label": label} for n, label in self._findings.items()],
                "proposals": self._proposals.offered,
            }
        )

    def _annotator(self, request: Request, given: object) -> Response:
        if not isinstance(given, Mapping) or not {"name"} <= {*given} <= {"name", "check"}:
            raise UserError("takes the annotator's name")
        known = self._file.annotator(given["name"])
        who = known
        if not known and not given.get("check"):
            who = self._file.annotator(given["name"], make=True)
        statuses = self._statuses(who.id) if who else {}
        return JSONResponse(
            {
                "id": who.id if who else None,
                "name": who.name if who else given["name"],
                "known": known is not None,
                "done": sum(status == "done" for status in statuses.values()),
                "images": len(self._folder.readable),
            }
        )

    def _images(self, request: Request) -> Response:
        statuses = self._statuses(self._person(request))
        return JSONResponse(
            [
                {
                    "id": each.id,
                    "name": each.name,
                    "status": statuses.get(each.id, "new"),
                    "unreadable": each.id in self._folder.unreadable,
                }
                for each in self._folder.listed.values()
            ]
        )

    def _progress(self, request: Request) -> Response:
        found = progress.progress(self._file, self._findings, self._folder)
        return JSONResponse(_without_nan(found))

    # --- readings ------------------------------------------------------------------------------

    def _image(self, request: Request) -> Response:
        annotator, opened = self._person(request), self._opened(request)
        image = {
            "id": opened.id,
            "version": _version(opened),
            "name": opened.name,
            "width": opened.width,
            "height": opened.height,
            "tile": photographs.TILE,
            "levels": opened.levels,
            "overview": opened.overview,
        }
        held = self._file.held(opened.id, annotator)
        return JSONResponse({"image": image, **_shown(held, opened)})

    def _edit(self, request: Request, edit: object) -> Response:
        annotator, opened = self._person(request), self._opened(request)
        try:
            return JSONResponse(_shown(self._edited(opened, annotator, edit), opened))
        except OtherState:
            current = _shown(self._file.held(opened.id, annotator), opened)
            message = "Changed meanwhile, in another window; this is what holds now."
            return JSONResponse({"message": message, "current": current}, 409)

    def _edited(self, opened: Opened, annotator: int, edit: object) -> Held:
        """Applies an edit to the state that it names; one without any to whichever holds.

        An edit that its page calls as the last one (`id`) is that one again, whose answer was lost.
        """
        edit = dict(edit) if isinstance(edit, Mapping) else {}
        kind, state, name = edit.get("kind"), edit.pop("state", None), edit.pop("id", None)
        if type(state) not in (int, type(None)):
            raise UserError("state: takes the number of the state that is shown")
        if not (name is None or (isinstance(name, str) and re.fullmatch(r"[\w-]{1,64}", name))):
            raise UserError("id: takes up to 64 letters, digits, - and _")
        if kind in ("undo", "redo"):
            if {*edit} != {"kind"} or state is None:
                raise UserError(f"{kind!r} takes the state that is shown")
            forward = kind == "redo"
            return self._file.step(opened.id, annotator, state, forward=forward, name=name)
        listed = findings.kept(self._file) or findings.standard()
        allowed = reading.Allowed(listed, opened.width, opened.height)
        change = functools.partial(reading.edited, edit=edit, allowed=allowed)
        return self._file.edit(opened, annotator, change, state, name)

    # --- pictures and predictions --------------------------------------------------------------

    def _overview(self, request: Request) -> Response:
        return Response(photographs.overview(self._opened(request)), media_type="image/jpeg")

    def _tile(self, request: Request) -> Response:
        place = (_number(request, name) for name in ("level", "row", "column"))
        found = photographs.tile(self._opened(request), *place)
        if found is None:
            raise Missing
        kind = "image/png" if found.startswith(b"\x89PNG") else "image/jpeg"
        return Response(found, media_type=kind)

    def _proposal(self, request: Request) -> Response:
        annotator, opened = self._person(request), self._opened(request)
        placed = self._file.held(opened.id, annotator).reading
        return JSONResponse(_without_nan(self._proposals.of(opened, placed)))

    def _activation(self, request: Request) -> Response:
        opened = self._opened(request)
        found = self._proposals.activation(opened, request.path_params["finding"])
        if found is None:
            raise Missing
        return Response(found, media_type="image/png")

    # --- what a request names ------------------------------------------------------------------

    def _opened(self, request: Request) -> Opened:
        id = request.path_params["image"]
        if id not in self._folder.listed:
            raise Missing
        opened = self._folder.open(id)
        if self._file.digest(id) not in (None, opened.digest):
            raise UserError(other_picture(opened.name))
        # What a page shows, and its annotator clicks, may be of the file before
        if request.query_params.get("version", _version(opened)) != _version(opened):
            raise UserError(f"{opened.name}: has changed since it was opened; open it again")
        return opened

    def _person(self, request: Request) -> int:
        id = _number(request, "annotator")
        if id not in {each.id for each in self._file.annotators()}:
            raise Missing
        return id

    def _statuses(self, annotator: int) -> dict[str, str]:
        found = self._file.statuses(annotator)
        readable = self._folder.readable
        return {id: status for id, status in found.items() if id in readable}


def _nothing(request: Request, error: Exception) -> Response:
    if request.url.path.startswith("/api/"):
        return refusal(404, "there is nothing here")
    return page_of(404, "There is nothing at this address; open the one that was printed.")


def _number(request: Request, name: str) -> int:
    """A number of the address, of at most six digits."""
    text = request.path_params[name]
    if not re.fullmatch("[0-9]{1,6}", text):
        raise Missing
    return int(text)


def _version(opened: Opened) -> str:
    """Stands for the content of a file."""
    return opened.digest[:16]


def _shown(held: Held, opened: Opened) -> dict[str, object]:
    """A reading as the page takes it, with the regions that its points define."""
    given = held.reading
    shown = None
    if given.disc and given.fovea:
        place = given.disc, given.fovea, opened.height, opened.width
        outlines, anchors = regions.polygons(*place), regions.anchors(*place)
        shown = {
            name: {
                "polygons": [polygon.ravel().tolist() for polygon in outlines[name]],
                "anchor": anchors[name],
            }
            for name in regions.REGIONS
        }
    return {
        "reading": json.loads(given.to_json()),
        "state": held.state,
        "undo": held.undo,
        "redo": held.redo,
        "saved": held.saved,
        "regions": shown,
    }


def _page(name: str) -> Callable:
    """Answers with a file of the page, named here and not by the request."""
    path = PAGE / name

    async def answer(request: Request) -> Response:
        return FileResponse(path, media_type=KINDS.get(path.suffix))

    return answer


def _answer(work: Callable[..., Response]) -> Callable:
    """An endpoint that works in a thread, and says in one line what is wrong with a request."""

    async def answer(request: Request) -> Response:
        given = ()
        if request.method == "POST":
            if request.headers.get("content-type", "").partition(";")[0] != "application/json":
                return refusal(415, "takes JSON")
            if (body := await body_of(request)) is None:
                return refusal(413, f"takes at most {LARGEST_BODY} bytes")
            try:
                given = (json.loads(body),)
            except (ValueError, RecursionError):
                return refusal(400, "takes JSON")
        try:
            return await run_in_threadpool(work, request, *given)
        except Missing:
            return refusal(404, "there is nothing here")
        except NotSaved as error:
            return refusal(503, f"not saved: {error}")
        except Unreadable as error:
            return refusal(422, str(error), unreadable=True)
        except UserError as error:
            return refusal(422, str(error))

    return answer


def _without_nan(value: object) -> object:
    """null for what is not defined, which JSON has no other word for."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {name: _without_nan(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return value

"""Serves the page on this machine until it is interrupted."""

import contextlib
import errno
import logging
import os
import pathlib
import secrets
import socket
import sys
from collections.abc import Callable, Sequence

import uvicorn

from segjax.annotate import findings
from segjax.annotate.photographs import Folder
from segjax.annotate.proposals import Proposals
from segjax.annotate.server import Server
from segjax.annotate.store import AnnotationFile, made
from segjax.data.folders.listing import counted, shown
from segjax.errors import UserError

HOST = "127.0.0.1"
_SECONDS = 2  # that requests have to end when the server is stopped


def serve(
    folder: pathlib.Path,
    annotations: pathlib.Path,
    *,
    port: int,
    listed: pathlib.Path | None = None,
    points: dict[str, pathlib.Path] | None = None,
    runs: Sequence[pathlib.Path] = (),
) -> None:
    """Serves until Ctrl-C or SIGTERM.

    The address stays the same for a file: pages that are open go on when the server is started
    again.

    Args:
        folder: of photographs; nothing is written there.
        annotations: the annotation file, made where there is none.
        port: 0 for any that is free.
        listed: a file with the findings to choose from.
        points: trained folders that propose points, by name.
        runs: trained folders that propose findings.

    Raises: UserError before anything is served.
    """
    photographs = Folder(folder)
    if not photographs.readable:
        first = next(iter(photographs.unreadable.values()))
        raise UserError(f"FOLDER {folder}: none of its photographs can be opened: {first}")
    # Bound first: what is refused leaves no annotation file behind
    with contextlib.closing(_bound(port)) as bound:
        with made(annotations) as file:
            proposals = Proposals(points, runs, findings.chosen(file, listed))
            app = Server(photographs, file, proposals).app(_token(file))
            config = uvicorn.Config(
                app,
                # Its own settings would close the handlers of others, and their streams
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=_SECONDS,
            )
            # It catches Ctrl-C, lets answers end, and raises it again
            with contextlib.suppress(KeyboardInterrupt):
                _Server(config, lambda: _tell(photographs, file, bound)).run(sockets=[bound])
            print(f"ended; {_sum(file)} in {annotations}")


class _Server(uvicorn.Server):
    """Says where it is when it answers, and catches signals."""

    def __init__(self, config: uvicorn.Config, tell: Callable[[], None]):
        super().__init__(config)
        self._tell = tell

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends; requests that are broken off are no errors then."""
        logging.getLogger("uvicorn.error").disabled = True
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to listen, and says so."""
        await super().startup(sockets)
        self._tell()


def _bound(port: int) -> socket.socket:
    if not 0 <= port < 2**16:
        raise UserError(f"--port {port}: takes 0 to 65535")
    made = socket.socket()
    if os.name == "posix":  # or the port of a server just ended would stay taken for a minute
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((HOST, port))
        made.listen()
    except OSError as error:
        made.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            what = "is in use" if error.errno == errno.EADDRINUSE else "is not allowed"
            raise UserError(f"--port {port}: {what}; take another one, or 0 for any") from error
        raise
    return made


def _token(file: AnnotationFile) -> str:
    if (known := file.setting("token")) is None:
        known = secrets.token_urlsafe(24)
        file.set("token", known)
    return known


def _tell(photographs: Folder, file: AnnotationFile, bound: socket.socket) -> None:
    port = bound.getsockname()[1]
    names = {each.name for each in photographs.listed.values()}
    if outside := photographs.outside:
        line = counted(outside, "link leads", "links lead")
        print(f"segjax: left out: {line} out of the folder: {shown(outside)}", file=sys.stderr)
    if unreadable := photographs.unreadable.values():
        line = counted(unreadable, "photograph", "photographs")
        print(f"segjax: {line} cannot be opened: {shown(unreadable)}", file=sys.stderr)
    if gone := [name for name in file.images() if name not in names]:
        line = counted(gone, "annotated photograph is", "annotated photographs are")
        print(f"segjax: {line} not in the folder: {shown(gone)}", file=sys.stderr)
    if changed := _changed(photographs, file):
        line = counted(changed, "photograph is another file", "photographs are other files")
        print(f"segjax: {line} than annotated, and refused: {shown(changed)}", file=sys.stderr)
    readable = photographs.readable
    print(f"{counted(readable, 'photograph', 'photographs')} of {photographs.path}, {_sum(file)}")
    print(f"open   http://{HOST}:{port}/{_token(file)}/")
    print(f"from elsewhere: ssh -L {port}:{HOST}:{port} THIS_MACHINE, then the same address")
    print("Ctrl-C ends it; what pages show as saved is in the file", flush=True)


def _changed(photographs: Folder, file: AnnotationFile) -> list[str]:
    """Annotated photographs whose file is another one by now, or cannot be read."""
    found = []
    for image in file.images().values():
        with contextlib.suppress(UserError):
            if image.id in photographs.listed and photographs.digest(image.id) != image.digest:
                found.append(image.name)
    return found


def _sum(file: AnnotationFile) -> str:
    records = file.records()
    done = sum(record.reading.done for record in records)
    return f"{done} finished and {len(records) - done} begun readings"

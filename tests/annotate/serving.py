"""A server on a free port in a thread, and what a page asks of it."""

import contextlib
import http.client
import json
import socket
import threading
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import uvicorn

from segjax.annotate import findings
from segjax.annotate.photographs import Folder
from segjax.annotate.proposals import Proposals
from segjax.annotate.server import Server
from segjax.annotate.store import AnnotationFile

TOKEN = "a-token"


@dataclass
class Answer:
    """What a server says: status, headers in small letters, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Page:
    """Requests as a page makes them."""

    port: int
    token: str = TOKEN

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/{self.token}/"

    def ask(self, method, path, body=None, headers=None, token=None) -> Answer:
        """One request; `path` below the token's."""
        return self.raw(method, f"/{token or self.token}/{path}", body, headers)

    def raw(self, method, path, body=None, headers=None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, names, answer.read())
        finally:
            connection.close()

    def get(self, path, **options) -> Answer:
        return self.ask("GET", path, **options)

    def post(self, path, value) -> Answer:
        return self.ask("POST", path, json.dumps(value), {"Content-Type": "application/json"})

    def annotator(self, name) -> "Person":
        return Person(self, self.post("api/annotators", {"name": name}).json["id"])


@dataclass
class Person:
    """An annotator at a page."""

    page: Page
    id: int

    @property
    def images(self) -> list[dict]:
        return self.page.get(f"api/annotators/{self.id}/images").json

    def open(self, image) -> Answer:
        return self.page.get(f"api/annotators/{self.id}/images/{image}")

    def edit(self, image, kind, **keys) -> Answer:
        return self.page.post(
            f"api/annotators/{self.id}/images/{image}/edits", {"kind": kind, **keys}
        )

    def place(self, image, disc=(30, 40), fovea=(80, 44)) -> Answer:
        return self.edit(image, "points", disc=disc, fovea=fovea)

    def mark(self, image, finding, region, marked=True) -> Answer:
        return self.edit(image, "region", finding=finding, region=region, marked=marked)


@contextlib.contextmanager
def served(folder, path, listed=None, proposals=None, port=0):
    """A page of a folder; the annotation file is open while the block runs."""
    file = AnnotationFile(path)
    findings.chosen(file, listed)
    app = Server(Folder(folder), file, proposals or Proposals()).app(TOKEN)
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        bound.listen()
        config = uvicorn.Config(
            app, log_config=None, log_level="error", access_log=False, lifespan="off"
        )
        server = uvicorn.Server(config)
        # The thread may not take signals; this process has its own
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        try:
            yield Page(bound.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(10)
            file.close()


def photograph(path, size=(120, 90), seed=0):
    """Writes a photograph whose pixels differ."""
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path

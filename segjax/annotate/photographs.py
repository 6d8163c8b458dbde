"""The photographs of a folder: which they are, and pictures of them for the page."""

import collections
import contextlib
import hashlib
import os
import pathlib
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from segjax.data.folders import listing
from segjax.data.images import MOST_PIXELS, check_one_page, read_image
from segjax.errors import UserError

TILE = 512
OVERVIEW = 2048  # pixels of the longer side of the first picture
DECODED = 2  # photographs at once
KEPT = 3  # photographs in memory; of 12 megapixels one takes 36 MB


@dataclass(frozen=True)
class Listed:
    """A photograph of the folder.

    Attributes:
        id: stands for the name in addresses, and stays the same when the folder gains others.
        name: the path below the folder.
        path: of the file.
    """

    id: str
    name: str
    path: pathlib.Path


@dataclass(frozen=True)
class Opened:
    """A photograph that was read: its pixels upright, and the SHA-256 of its file."""

    id: str
    name: str
    digest: str
    pixels: np.ndarray

    @property
    def width(self) -> int:
        """In pixels."""
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        """In pixels."""
        return self.pixels.shape[0]

    @property
    def overview(self) -> tuple[int, int]:
        """(width, height) of the picture of the whole."""
        factor = min(1.0, OVERVIEW / max(self.width, self.height))
        return max(1, round(self.width * factor)), max(1, round(self.height * factor))

    @property
    def levels(self) -> int:
        """How many levels of tiles there are: from all pixels to what the overview has."""
        largest, levels = max(self.width, self.height), 1
        while largest >> levels > OVERVIEW:
            levels += 1
        return levels


class Unreadable(UserError):
    """A photograph that cannot be opened."""


class Folder:
    """The photographs of a folder, which is only read.

    The list is made once. Files that lead out of the folder are left out, and named in `outside`.
    `unreadable` says by id why photographs cannot be opened: those whose header tells, and others
    once they were tried.

    Raises: UserError as `data prepare folder` does of its images.
    """

    def __init__(self, path: pathlib.Path):
        self.path = path
        self._root = path.resolve()
        _check_text(str(path), "folder")
        _check_text(self._root.name, "folder")
        found = listing.pictures(path, "FOLDER", lambda file: None)
        for name in found:
            _check_text(name, "file")
        self.outside = [name for name, file in found.items() if not self._holds(file)]
        inside = {name: file for name, file in found.items() if self._holds(file)}
        if not inside:
            raise UserError(
                f"FOLDER {path}: all {len(found)} pictures are links that lead out of it"
            )
        listing.by_stem(inside, "FOLDER")
        every = [Listed(id_of(name), name, file) for name, file in inside.items()]
        self.listed = {each.id: each for each in every}
        self.unreadable: dict[str, str] = {}
        for each in every:
            self._look(each, _check_header)
        self._opened: collections.OrderedDict = collections.OrderedDict()
        self._lock, self._reading = threading.Lock(), collections.defaultdict(threading.Lock)
        # Many at once, as of someone who leafs through them, would all come late
        self._few = threading.BoundedSemaphore(DECODED)

    def open(self, id: str) -> Opened:
        """A photograph with its pixels; read again where the file has changed.

        Raises: Unreadable naming the file that cannot be read, or leads out of the folder.
        """
        listed = self.listed[id]
        made: list[Opened] = []
        self._look(listed, lambda path: made.append(self._open(listed)))
        if not made:
            raise Unreadable(self.unreadable[id])
        return made[0]

    @property
    def readable(self) -> dict[str, Listed]:
        """The photographs of the list that can be opened, as far as is known."""
        return {id: each for id, each in self.listed.items() if id not in self.unreadable}

    def _look(self, listed: Listed, work: Callable[[pathlib.Path], None]) -> None:
        """Notes whether work on a photograph's file succeeds."""
        try:
            work(listed.path)
        except UserError as error:
            # By its name in the folder: where that lies is not the page's business
            self.unreadable[listed.id] = str(error).replace(str(listed.path), listed.name)
        else:
            self.unreadable.pop(listed.id, None)

    def _open(self, listed: Listed) -> Opened:
        id = listed.id
        # Another link may have taken the file's place since the list was made
        if not self._holds(listed.path):
            raise UserError(f"{listed.name}: leads out of the folder")
        # One at a time: a page asks for many tiles at once, and decoding takes long
        with self._reading[id]:
            try:
                status = os.stat(listed.path)
            except OSError as error:
                raise UserError(f"{listed.name}: {error.strerror}") from error
            key = id, status.st_size, status.st_mtime_ns
            with self._lock:
                if key in self._opened:
                    self._opened.move_to_end(key)
                    return self._opened[key]
            with self._few:
                made = self._read(listed)
            with self._lock:
                self._opened[key] = made
                while len(self._opened) > KEPT:
                    self._opened.popitem(last=False)
            return made

    def digest(self, id: str) -> str:
        """The SHA-256 of a file, without decoding it; UserError where it cannot be read."""
        listed = self.listed[id]
        try:
            return hashlib.sha256(listed.path.read_bytes()).hexdigest()
        except OSError as error:
            raise UserError(f"{listed.name}: {error.strerror}") from error

    def _read(self, listed: Listed) -> Opened:
        try:
            check_one_page(listed.path)
            pixels = read_image(listed.path)
            digest = hashlib.sha256(listed.path.read_bytes()).hexdigest()
        except OSError as error:
            raise UserError(f"{listed.name}: {error.strerror}") from error
        return Opened(listed.id, listed.name, digest, pixels)

    def _holds(self, path: pathlib.Path) -> bool:
        return path.resolve().is_relative_to(self._root)


def _check_header(path: pathlib.Path) -> None:
    """UserError for a file that cannot be opened, as far as its header tells."""
    check_one_page(path)
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path) as picture:
            if picture.width * picture.height <= MOST_PIXELS:
                return
    read_image(path)  # which says what is wrong, or knows better than Pillow


def _check_text(name: str, what: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"FOLDER: the name {ascii(name)} is not UTF-8; rename the {what}"
        ) from error


def id_of(name: str) -> str:
    """What stands for a name in addresses."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def overview(opened: Opened) -> bytes:
    """The whole photograph as JPEG."""
    return _jpeg(cv2.resize(opened.pixels, opened.overview, interpolation=cv2.INTER_AREA))


def tile(opened: Opened, level: int, row: int, column: int) -> bytes | None:
    """A square of a level, reduced 2^level-fold: PNG of the pixels themselves, JPEG of others.

    It covers TILE 2^level pixels of the photograph a side, less at its edges; None beyond them.
    """
    if not 0 <= level < opened.levels:
        return None
    side = TILE << level
    top, left = row * side, column * side
    if not (0 <= top < opened.height and 0 <= left < opened.width):
        return None
    pixels = opened.pixels[top : top + side, left : left + side]
    if level == 0:
        return _encoded(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    size = tuple(max(1, -(-length // (1 << level))) for length in pixels.shape[1::-1])
    return _jpeg(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def _jpeg(pixels: np.ndarray) -> bytes:
    # Colours at full resolution: small lesions are red on red
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return _encoded(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 92, *sampling])


def _encoded(kind: str, pixels: np.ndarray, options: list[int]) -> bytes:
    done, encoded = cv2.imencode(kind, np.ascontiguousarray(pixels[..., ::-1]), options)
    if not done:
        raise ValueError(f"cannot encode {pixels.shape} as {kind}")
    return encoded.tobytes()

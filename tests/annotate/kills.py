"""A hundred kills of server or browser while an eye is annotated: no confirmed click may be lost.

    python -m tests.annotate.kills [--kills 100] [--seed 0]

A click is confirmed when the page says that nothing is left to save. Whatever SIGKILL hits, the
annotation file has to hold every reading that was confirmed, in their order.
"""

import argparse
import contextlib
import os
import pathlib
import random
import signal
import sys
import tempfile
import threading
import time

import psutil

from segjax.annotate.reading import Reading, from_json
from segjax.annotate.store import AnnotationFile
from tests.annotate import browsing
from tests.annotate.serving import photograph
from tests.annotate.test_verb import Running

REGION_KEYS = "qawsedrf"
LONGEST = 0.8  # seconds of clicks before a kill


class Lost(Exception):
    """What must not be."""


class Eye:
    """An annotator's session with one photograph, which survives what is killed."""

    def __init__(self, folder: pathlib.Path, file: pathlib.Path, chance: random.Random):
        self.folder, self.file, self.chance = folder, file, chance
        self.confirmed: list[Reading] = []
        self.clicks = 0
        self.server = Running(folder, file, "--port", "0")
        self.browser = contextlib.ExitStack()
        self.start_browser()
        self.window.click(60, 120)
        self.window.click(210, 128)
        self.window.keys("5")
        self.window.saved()
        self.note()

    def start_browser(self) -> None:
        self.driver: list[int] = []
        made = self.browser.enter_context(browsing.started(self.driver))
        self.window = made.window(self.server.page)
        self.window.begin("Kim")
        self.window.keys("5")

    def note(self) -> None:
        """Remembers the reading that the page shows as saved."""
        shown = _read(self.window.js("segjax.reading()"))
        if shown not in self.confirmed[-1:]:  # a click beside everything changes nothing
            self.confirmed.append(shown)

    def annotate(self, until: float) -> None:
        """Marks and unmarks regions by clicks and keys until the kill breaks it off."""
        while time.monotonic() < until:
            if self.chance.random() < 0.5:
                self.window.keys(self.chance.choice(REGION_KEYS))
            else:
                self.window.click(self.chance.uniform(5, 295), self.chance.uniform(5, 195))
            self.clicks += 1
            if self.window.js("segjax.pending() === 0"):
                self.note()

    def kill(self, victim: str) -> None:
        """SIGKILL at a random moment while clicks go on; what was killed is started again."""
        moment = self.chance.uniform(0, LONGEST)
        pids = [self.server.process.pid] if victim == "server" else _browser(self.driver[0])
        timer = threading.Timer(moment, _kill, [pids])
        timer.start()
        with contextlib.suppress(*_BROKEN):  # the driver has lost its browser
            self.annotate(time.monotonic() + moment + 0.2)
        timer.join()
        if victim == "server":
            self.server.process.communicate()
            self.server = Running(self.folder, self.file, "--port", str(self.server.page.port))
            self.window.saved()  # what waited is sent again
        else:
            self.browser.close()
            self.start_browser()
        self.check()
        self.note()

    def check(self) -> None:
        """Every confirmed reading is in the file, in their order, and the page shows the last."""
        file = AnnotationFile(self.file, writable=False)
        chain = [from_json(text) for (text,) in file._all("SELECT reading FROM states ORDER BY id")]
        held = file.records()[0].reading
        file.close()
        places = iter(chain)
        for count, reading in enumerate(self.confirmed):
            if reading not in places:  # goes on behind the one found before
                raise Lost(f"confirmed reading {count} is not in the file: {reading}")
        shown = _read(self.window.js("segjax.reading()"))
        if shown != held or chain[-1] != held:
            raise Lost(f"the page shows {shown}, the file holds {held}")
        self.confirmed = self.confirmed[-1:]

    def end(self) -> None:
        self.browser.close()
        self.server.end(signal.SIGINT)


def _broken() -> tuple[type[Exception], ...]:
    from selenium.common.exceptions import WebDriverException
    from urllib3.exceptions import HTTPError

    return WebDriverException, HTTPError, OSError


_BROKEN = _broken()


def _read(shown: dict) -> Reading:
    import json

    return from_json(json.dumps(shown))


def _browser(driver: int) -> list[int]:
    """The processes of the browser that a driver has started."""
    return [child.pid for child in psutil.Process(driver).children(recursive=True)]


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def main() -> int:
    """Runs the kills; 1 where a confirmed click was lost."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    chance = random.Random(args.seed)
    counts = {"server": 0, "browser": 0}
    with tempfile.TemporaryDirectory() as home:
        photograph(pathlib.Path(home, "photos", "eye.png"), size=(300, 200))
        eye = Eye(pathlib.Path(home, "photos"), pathlib.Path(home, "a.sqlite"), chance)
        try:
            for number in range(args.kills):
                victim = chance.choice(tuple(counts))
                counts[victim] += 1
                eye.kill(victim)
                if sys.stderr.isatty() or number % 10 == 9:
                    print(f"{number + 1} kills, {eye.clicks} clicks", file=sys.stderr)
        except Lost as error:
            print(f"LOST after {sum(counts.values())} kills: {error}")
            return 1
        finally:
            eye.end()
    print(
        f"{counts['server']} kills of the server, {counts['browser']} of the browser, "
        f"{eye.clicks} clicks: 0 confirmed clicks lost"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

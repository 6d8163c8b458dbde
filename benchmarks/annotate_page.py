"""How long the page of `segjax annotate` takes to open a photograph, and to redraw 1,000 marks.

    python benchmarks/annotate_page.py [--photographs DIR] [--screenshots DIR]

The page measures itself in headless Chromium: from asking for a photograph until its first picture
is drawn, by a server that has just started, by one that has prefetched, and by one that has read
it before; and the redrawing of 125 findings in all eight regions, with the pixels read back.
Without a folder the photographs are synthetic ones of 4288x2848 pixels.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import cv2

from segjax.data.regions import REGIONS
from segjax.data.synthetic.findings import generate_findings
from tests.annotate import browsing
from tests.annotate.serving import served

SIZE = 4288, 2848
WINDOWS = ((1280, 800, 1), (1500, 900, 2), (3840, 2160, 1))
FINDINGS = 125
TIMES = 9


def photographs(folder: pathlib.Path) -> None:
    """Three synthetic photographs as JPEG."""
    folder.mkdir()
    for seed in range(3):
        image = cv2.resize(generate_findings(seed, 1024)["image"], SIZE)
        cv2.imwrite(str(folder / f"eye_{seed}.jpg"), image[..., ::-1])


def opening(window: browsing.Window) -> float:
    """Milliseconds from asking for the shown photograph to its first picture."""
    window.opened()
    return window.js("Number(document.documentElement.dataset.openMs)")


def opened(folder: pathlib.Path, home: pathlib.Path, browser: browsing.Browser) -> None:
    """Prints times of opening."""
    first, again, next_ = [], [], []
    for k in range(TIMES):
        with served(folder, home / f"open{k}.sqlite") as page:
            window = browser.window(page)
            window.begin("Kim")
            first.append(opening(window))
            window.wait(
                "performance.getEntriesByType('resource').filter(e => "
                "e.name.includes('/overview?') && e.responseEnd).length > 1"
            )
            window.settle()
            window.keys(".")
            window.wait("document.getElementById('position').textContent.startsWith('2 of')")
            next_.append(opening(window))
            window.reload()
            again.append(opening(window))
            browser.close_windows()
    for name, times in (
        ("first photograph of a server", first),
        ("next one, prefetched", next_),
        ("after a reload", again),
    ):
        print(f"opened, {name}: median {statistics.median(times):.0f} ms, most {max(times):.0f} ms")


def marked(
    folder: pathlib.Path, home: pathlib.Path, browser: browsing.Browser, shots: pathlib.Path | None
) -> None:
    """Prints times of redrawing 1,000 marks in windows of several sizes."""
    listed = home / "findings.txt"
    listed.write_text("".join(f"Finding {k}\n" for k in range(FINDINGS)))
    with served(folder, home / "marks.sqlite", listed) as page:
        kim = page.annotator("Kim")
        image = kim.images[0]["id"]
        whole = kim.open(image).json["image"]
        middle = whole["width"] / 2, whole["height"] / 2
        kim.place(image, (middle[0] + 700, middle[1]), (middle[0] - 500, middle[1] + 100))
        for k in range(FINDINGS):
            kim.edit(image, "finding", finding=f"finding_{k}", regions=list(REGIONS))
        for width, height, ratio in WINDOWS:
            window = browser.window(page, (width, height), ratio)
            window.begin("Kim")
            marks = window.js("Object.values(segjax.reading().findings).flat().length")
            window.settle()
            moved = "(segjax.view.pan(0.5, 0), segjax.view.zoom(1.02), segjax.redraw())"
            for name, code in (("same view", "segjax.redraw()"), ("moved", moved)):
                times = [window.js(code) for _ in range(TIMES)]
                print(
                    f"{marks} marks, {width}x{height} at ratio {ratio}, {name}: median "
                    f"{statistics.median(times):.1f} ms, most {max(times):.1f} ms"
                )
            if shots:
                window.here().save_screenshot(str(shots / f"marks_{width}.png"))
            browser.close_windows()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photographs", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--screenshots", type=pathlib.Path, metavar="DIR")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made, browsing.started() as browser:
        home = pathlib.Path(made)
        folder = args.photographs or home / "photos"
        if args.photographs is None:
            photographs(folder)
        opened(folder, home, browser)
        marked(folder, home, browser, args.screenshots)


if __name__ == "__main__":
    main()

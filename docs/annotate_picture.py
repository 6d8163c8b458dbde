"""Draws docs/images/annotate.jpg: `python docs/annotate_picture.py`, which wants Chromium.

The page of `segjax annotate` with a generated photograph, on which three findings are marked.
"""

import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import cv2

from segjax.data.png import write_png
from segjax.data.regions import REGIONS
from segjax.data.synthetic.findings import generate_findings
from tests.annotate import browsing
from tests.annotate.serving import served

PATH = pathlib.Path(__file__).with_name("images") / "annotate.jpg"
SEEDS = (9, 4, 1)
WINDOW = (1280, 800)
MARKED = ("hard_exudate", "macular_hole", "rnfl_defect")


def main() -> None:
    """Annotates the first photograph and keeps what the page shows."""
    with tempfile.TemporaryDirectory() as made, browsing.started() as browser:
        home = pathlib.Path(made)
        eyes = [generate_findings(seed, 1024) for seed in SEEDS]
        for number, eye in enumerate(eyes):
            write_png(home / "photos" / f"eye_{number}.png", eye["image"])
        with served(home / "photos", home / "a.sqlite") as page:
            kim, eye = page.annotator("Kim"), eyes[0]
            image = kim.images[0]["id"]
            kim.place(image, eye["disc"].tolist(), eye["fovea"].tolist())
            for finding in MARKED:
                there = eye[f"{finding}_regions"]
                marked = [name for name, one in zip(REGIONS, there, strict=True) if one]
                kim.edit(image, "finding", finding=finding, regions=marked)
            window = browser.window(page, WINDOW)
            window.begin("Kim")
            window.keys("3")
            window.settle()
            window.here().save_screenshot(str(home / "page.png"))
        quality = [cv2.IMWRITE_JPEG_QUALITY, 88]
        cv2.imwrite(str(PATH), cv2.imread(str(home / "page.png")), quality)


if __name__ == "__main__":
    main()

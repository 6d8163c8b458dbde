"""Draws docs/images/guidance.png, the paper's Fig. 3: maps of trainings with and without guidance.

    python docs/guidance_picture.py GUIDED UNGUIDED [GUIDED UNGUIDED …]

Each pair are two work folders of one experiment and one finding; the picture has the first
photograph of the test split that shows it.
"""

import itertools
import pathlib
import sys

import numpy as np

from segjax.files import write_figure
from segjax.inference.open import load_trained
from segjax.tasks.guided_classification import pictures

PATH = pathlib.Path(__file__).with_name("images") / "guidance.png"
MAPS = ("with guidance", "without")
CASES = 1  # of each finding


def rows(guided: str, unguided: str) -> list[tuple]:
    """Rows of `pictures.cases_figure` of one finding."""
    runs = [load_trained(pathlib.Path(folder)) for folder in (guided, unguided)]
    tasks = [run.experiment.task for run in runs]
    openers = [
        task.opener(run.experiment, run.state, "test")
        for task, run in zip(tasks, runs, strict=True)
    ]
    examples = tasks[0].opened(runs[0].experiment, "test")
    shows = (k for k in range(len(examples)) if examples[k][tasks[0].label] == 1)
    found = []
    for index in itertools.islice(shows, CASES):
        cases = [opener(index) for opener in openers]
        predicted = [
            task.predict(outputs) for task, (_, _, outputs) in zip(tasks, cases, strict=True)
        ]
        fields = cases[0][1]
        maps = [np.asarray(each["activation"])[0] for each in predicted]
        title = tasks[0].finding.replace("_", " ")
        found.append((title, fields["image"][0], fields["region"][0], *maps))
    return found


def main(folders: list[str]) -> None:
    """Draws all pairs below each other."""
    pairs = zip(folders[::2], folders[1::2], strict=True)
    every = [row for pair in pairs for row in rows(*pair)]
    write_figure(PATH, pictures.cases_figure(every, MAPS))


if __name__ == "__main__":
    main(sys.argv[1:])

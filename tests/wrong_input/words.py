"""What the commands of these tests share: words, the head of an experiment file, a picture."""

import numpy as np
from PIL import Image

from tests.train import runs

ROOT = runs.ROOT
DEMO = ROOT / "experiments" / "fovea" / "demo.py"
TRAIN = ["train", "--config", DEMO, "--workdir", "run"]
HEAD = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
HEAD += "from experiments.fovea import demo\n"
HEAD += "def get_config(arg=None):\n    config = demo.get_config(arg)\n"


def picture(path, size=(40, 30)):
    pixels = np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path

"""What the tests of rendered files share: a sweep to render, and machines that only note words."""

import json
import os
import pathlib
import re
import subprocess
import sys
import textwrap
import tomllib
from types import SimpleNamespace

from segjax.config.sweeps import product
from segjax.launch.engines.render import Render
from segjax.launch.sweep import Sweep

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXPERIMENT = "experiments/fovea/demo.py"
POINTS = product([{"arg": "loss=msce"}, {"arg": "loss=mse"}], seed=[0])
# A program that notes what it is called with, and what of its environment is asked for
NOTING = """\
#!{python}
import fcntl, json, os, sys
with open({notes!r}, "a") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    names = [n for n in os.environ if n.startswith(("JAX_", "POINT"))]
    note = {{"words": sys.argv, "environment": {{n: os.environ[n] for n in names}}}}
    print(json.dumps(note), file=file, flush=True)
{then}
"""


def examples():
    """The two [cluster] sections of the documents: of a v5e pod, and of H100 machines."""
    text = (ROOT / "docs" / "clusters.md").read_text()
    sections = [
        tomllib.loads(block)["cluster"] for block in re.findall(r"```toml\n(.*?)```", text, re.S)
    ]
    return [section for section in sections if section.get("image")]


def section_file(folder, values):
    """A TOML file with a [cluster] section."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    path = folder / "cluster.toml"
    path.write_text("\n".join(["[cluster]", *lines]) + "\n")
    return path


def render(folder, values, name, points=POINTS, workdir="runs/fovea", config=EXPERIMENT):
    """Renders points in `folder`, which is the current one; gives the folder of the files."""
    engine = Render(cluster=str(section_file(folder, values)), format=name)
    configs = [config_of() for _ in points]
    engine.check(configs)
    sweep = pathlib.Path(workdir)
    progress = SimpleNamespace(points=points, missing=points, workdir=sweep)
    extra = {"data.data_dir": "/work/data"}
    assert engine.run(Sweep(config, extra, sweep, configs, progress)) is False
    return sweep / "render"


def config_of(parallel="sharding", batch_size=256):
    data = SimpleNamespace(data_dir="/work/data", batch_size=batch_size)
    return SimpleNamespace(parallel=parallel, data=data)


class Machines:
    """A folder of programs that stand in for others, and note what they were called with."""

    def __init__(self, folder):
        self.folder, self.file = folder / "programs", folder / "notes.jsonl"
        self.folder.mkdir()

    def add(self, name, then=""):
        text = NOTING.format(
            python=sys.executable, notes=str(self.file), then=textwrap.dedent(then)
        )
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o755)

    @property
    def environment(self):
        return {"PATH": f"{self.folder}:{os.environ['PATH']}", "HOME": "/home/nobody"}

    def bash(self, text, **environment):
        """Runs a script as its users would; gives its status and what was noted."""
        self.file.unlink(missing_ok=True)
        done = subprocess.run(
            ["bash", "-c", text] if isinstance(text, str) else ["bash", *map(str, text)],
            env=self.environment | environment,
            capture_output=True,
            text=True,
        )
        return done, self.notes()

    def notes(self):
        return (
            [json.loads(line) for line in self.file.read_text().splitlines()]
            if self.file.exists()
            else []
        )


def in_kubernetes(text, variables):
    """Arguments as the kubelet expands them: $(NAME) of known variables, $$ a dollar sign."""

    def expand(found):
        if found[0] == "$$":
            return "$"
        return variables.get(found[1], found[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", expand, text)

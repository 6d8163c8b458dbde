"""The image in which points run: Python, segjax, and the experiment's folder."""

from segjax.launch.cluster import Cluster
from segjax.launch.rendering import accelerators

FILE = "Dockerfile"

TEXT = """\
# The image of `[cluster]`, built in a clone of segjax in which the experiment's folder lies:
#   docker build --tag {image} --file {folder}/Dockerfile .
# What is not to go into it, as data and results, is named in .dockerignore there.
FROM python:3.11-slim
WORKDIR /experiment

# Before the experiments, which change more often
COPY setup.cfg pyproject.toml constraints.txt README.md LICENSE ./
COPY segjax segjax
RUN pip install --no-cache-dir --constraint constraints.txt "{package}"

# Relative paths of a point are below this folder
COPY . .

# This user writes to the shared volume. SkyPilot sets up containers by itself: leave these two
# lines out for it, where the user it finds may not install.
RUN useradd --create-home --uid 1000 train
USER 1000

# The command of each point stands in the files of the scheduler. It is started as process 1 and
# gets SIGTERM, on which it saves; so does this one, for there is no shell around it.
ENTRYPOINT []
CMD ["python", "-P", "-m", "segjax.cli", "--help"]
"""


def text(cluster: Cluster, folder: str) -> str:
    """The Dockerfile, as it lies in a folder."""
    extra = "tpu" if accelerators.is_tpu(cluster) else "cuda" if cluster.accelerators else ""
    package = f".[{extra}]" if extra else "."
    return TEXT.format(image=cluster.image or "IMAGE", folder=folder, package=package)

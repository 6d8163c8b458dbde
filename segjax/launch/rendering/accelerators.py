"""Accelerators as each tool names them; `[cluster]` has the names of GKE's node labels.

Machine types: GoogleCloudPlatform/cluster-toolkit, pkg/config/hardware.go, commit 1f59de29.
Names of SkyPilot: docs.skypilot.co, v0.8.0, compute/gpus; those of Cloud TPUs count cores, of which
v4 and v5p have two a chip.
"""

import math
import re

from segjax.errors import UserError
from segjax.launch.cluster import Cluster

TOPOLOGY = re.compile(r"[1-9]\d*(x[1-9]\d*){1,2}")
MACHINES = {
    "tpu-v4-podslice": "ct4p-hightpu-{}t",
    "tpu-v5-lite-podslice": "ct5lp-hightpu-{}t",
    "tpu-v5p-slice": "ct5p-hightpu-{}t",
    "tpu-v6e-slice": "ct6e-standard-{}t",
    "tpu7x": "tpu7x-standard-{}t",
    "nvidia-tesla-a100": "a2-highgpu-{}g",
    "nvidia-a100-80gb": "a2-ultragpu-{}g",
    "nvidia-h100-80gb": "a3-highgpu-{}g",
    "nvidia-h100-mega-80gb": "a3-megagpu-{}g",
    "nvidia-h200-141gb": "a3-ultragpu-{}g",
    "nvidia-b200": "a4-highgpu-{}g",
    "nvidia-gb200": "a4x-highgpu-{}g",
}
# By name: that of SkyPilot, and how many cores a chip has
CLOUD_TPUS = {
    "tpu-v4-podslice": ("tpu-v4", 2),
    "tpu-v5-lite-podslice": ("tpu-v5litepod", 1),
    "tpu-v5p-slice": ("tpu-v5p", 2),
    "tpu-v6e-slice": ("tpu-v6e", 1),
}
SKYPILOT_GPUS = {
    "nvidia-tesla-a100": "A100",
    "nvidia-a100-80gb": "A100-80GB",
    "nvidia-h100-80gb": "H100",
    "nvidia-h100-mega-80gb": "H100-MEGA",
    "nvidia-h200-141gb": "H200",
    "nvidia-b200": "B200",
    "nvidia-l4": "L4",
}


def is_tpu(cluster: Cluster) -> bool:
    """Whether points run on TPUs."""
    return cluster.accelerator.startswith("tpu")


def chips(topology: str) -> int:
    """How many chips a TPU slice has."""
    return math.prod(int(side) for side in topology.split("x"))


def check(cluster: Cluster) -> None:
    """UserError where machines, accelerators and the shape of a slice contradict each other."""
    topology = cluster.topology
    if not is_tpu(cluster):
        if topology:
            raise UserError(
                f"--topology {topology}: is of TPUs, as --accelerator tpu-v5-lite-podslice; "
                f"--accelerator is {cluster.accelerator!r}"
            )
        return
    if not TOPOLOGY.fullmatch(topology):
        raise UserError(
            f"--topology {topology!r}: takes the shape of a TPU slice, as 16x16 or 4x4x8"
        )
    if cluster.tasks_per_node > 1:
        raise UserError(
            f"--tasks_per_node {cluster.tasks_per_node}: one process drives all chips of a TPU "
            "machine"
        )
    have = cluster.nodes * cluster.accelerators
    if chips(topology) != have:
        raise UserError(
            f"--topology {topology}: has {chips(topology)} chips, but --nodes {cluster.nodes} x "
            f"--accelerators {cluster.accelerators} are {have}"
        )


def machine_type(cluster: Cluster) -> str:
    """The machines of Google Cloud that have such accelerators; other names stay as they are."""
    known = MACHINES.get(cluster.accelerator)
    return known.format(cluster.accelerators) if known else cluster.accelerator


def skypilot(cluster: Cluster) -> str:
    """Accelerators of a machine, or a whole slice of a Cloud TPU, as SkyPilot names them."""
    if is_tpu(cluster):
        name, cores = CLOUD_TPUS[cluster.accelerator]
        return f"{name}-{chips(cluster.topology) * cores}"
    return f"{SKYPILOT_GPUS.get(cluster.accelerator, cluster.accelerator)}:{cluster.accelerators}"

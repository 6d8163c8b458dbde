"""What trained networks propose of a photograph: points, findings with regions, activation maps."""

import collections
import csv
import pathlib
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from segjax.annotate.photographs import Opened
from segjax.annotate.reading import POINTS, Reading
from segjax.data.regions import active_regions
from segjax.errors import UserError

KEPT = 32  # photographs whose predictions are remembered
LARGEST_MAP = 1024  # pixels of the longer side of the picture of a map
THRESHOLD = 0.5  # where a run has none of its own


@dataclass(frozen=True)
class Activation:
    """What a run says of a finding in a photograph; `map` [h, w] is that of a smaller picture."""

    probability: float
    map: np.ndarray | None


class Network:
    """A trained folder whose network is applied to photographs one by one.

    Args:
        folder: the work folder.
        flag: that named it.

    Raises: UserError for a folder that is no trained one.
    """

    def __init__(self, folder: pathlib.Path, flag: str):
        # Here, for they load JAX, which takes seconds and is not needed without a run
        from segjax.inference.open import open_parts

        if not folder.is_dir():
            raise UserError(f"{flag} {folder}: no such work folder")
        self.folder, self.flag = folder, flag
        self.parts = open_parts(folder, needs_data=False)
        self._predictor: Any = None

    def apply(self, image: np.ndarray) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """The row of a photograph by column, and what the task predicts of it."""
        from segjax.inference.open import load_trained

        if self._predictor is None:
            predictor = self.parts.task.predictor()
            trained = load_trained(self.folder, "best", parts=self.parts)
            predictor.load(trained.experiment, trained.state, trained.devices)
            self._predictor = predictor
        return self._predictor.apply(image)

    def map_of(
        self, image: np.ndarray, predicted: Any, shape: tuple[int, int]
    ) -> np.ndarray | None:
        """Where the photograph shows what is proposed, `[h, w]` in 0 to 1; None for no map."""
        return self._predictor.proposed_map(image, predicted, shape)


class Proposals:
    """Proposals of runs; a photograph is predicted when it is asked for.

    Args:
        points: trained folders that find the disc and the fovea, by the name of the point.
        runs: trained folders of findings.
        findings: the names that annotators choose from.

    Raises: UserError for a folder that is no trained one, or finds something else.
    """

    def __init__(
        self,
        points: dict[str, pathlib.Path] | None = None,
        runs: Sequence[pathlib.Path] = (),
        findings: Collection[str] = (),
    ):
        found = {point: Network(path, f"--{point}") for point, path in (points or {}).items()}
        for point, network in found.items():
            _check_target(network, point)
        self._points = {point: found[point] for point in POINTS if point in found}
        self._runs: dict[str, Network] = {}
        for path in runs:
            network = Network(path, "--run")
            finding = _finding_of(network, findings)
            if finding in self._runs:
                raise UserError(
                    f"--run {path}: classifies {finding!r}, as {self._runs[finding].folder} does"
                )
            self._runs[finding] = network
        self._thresholds = {name: threshold(run.folder) for name, run in self._runs.items()}
        self._known: collections.OrderedDict = collections.OrderedDict()
        self._lock = threading.Lock()

    @property
    def offered(self) -> dict[str, object]:
        """Whether points are proposed, and which findings."""
        return {"points": bool(self._points), "findings": list(self._runs)}

    def of(self, opened: Opened, placed: Reading) -> dict[str, object]:
        """Points, and findings with the regions of their maps; null without disc and fovea.

        Args:
            opened: the photograph.
            placed: the annotator's reading, whose points count before predicted ones.
        """
        points, found = self._predicted(opened)
        ends = [getattr(placed, name) or points.get(name) for name in POINTS]
        return {
            "points": points,
            "findings": [
                {
                    "finding": name,
                    "probability": each.probability,
                    "threshold": self._thresholds[name],
                    "regions": _regions(opened, each.map, ends),
                    "map": each.map is not None,
                }
                for name, each in found.items()
            ],
        }

    def activation(self, opened: Opened, finding: str) -> bytes | None:
        """The map of a finding as PNG, the more opaque the higher; None where there is none."""
        if finding not in self._runs:
            return None
        heat = self._predicted(opened)[1][finding].map
        if heat is None:
            return None
        levels = np.rint(heat * 255).astype(np.uint8)
        # Of one hue for those who see red and green alike
        colours = cv2.applyColorMap(levels, cv2.COLORMAP_CIVIDIS)
        done, encoded = cv2.imencode(".png", np.dstack([colours, levels]))
        if not done:
            raise ValueError(f"cannot encode a map of shape {heat.shape}")
        return encoded.tobytes()

    def _predicted(self, opened: Opened) -> tuple[dict, dict[str, Activation]]:
        # One at a time: the network has the cores for itself, and is loaded once
        with self._lock:
            if opened.digest not in self._known:
                points = {name: _point(net, opened) for name, net in self._points.items()}
                found = {name: _activation(net, opened) for name, net in self._runs.items()}
                self._known[opened.digest] = points, found
                while len(self._known) > KEPT:
                    self._known.popitem(last=False)
            return self._known[opened.digest]


def threshold(folder: pathlib.Path) -> float:
    """The probability from which on a run calls a finding present, as its validation chose it."""
    try:
        with (folder / "predictions_validation.csv").open(newline="", encoding="utf-8") as file:
            return float(next(csv.DictReader(file))["threshold"])
    except (OSError, ValueError, KeyError, StopIteration, csv.Error):
        return THRESHOLD


def _check_target(network: Network, point: str) -> None:
    trained = network.parts.config.task_options.get("target")
    if trained != point or not hasattr(network.parts.task.predictor(), "apply"):
        raise UserError(
            f"{network.flag} {network.folder}: was not trained to find the {point} "
            f"(task {network.parts.config.task!r}, target {trained!r})"
        )


def _finding_of(network: Network, findings: Collection[str]) -> str:
    finding = getattr(network.parts.task.predictor(), "proposes", None)
    where = f"{network.flag} {network.folder}"
    if finding is None:
        task = network.parts.config.task
        raise UserError(f"{where}: takes runs of guided_classification, this one is of {task!r}")
    if finding not in findings:
        raise UserError(
            f"{where}: classifies {finding!r}, which is not in the list: {', '.join(findings)}"
        )
    return finding


def _point(network: Network, opened: Opened) -> tuple[float, float]:
    row, _ = network.apply(opened.pixels)
    size = opened.width, opened.height
    return tuple(
        min(max(row[f"predicted_{axis}"], 0.0), float(length))
        for axis, length in zip("xy", size, strict=True)
    )


def _activation(network: Network, opened: Opened) -> Activation:
    row, predicted = network.apply(opened.pixels)
    factor = min(1.0, LARGEST_MAP / max(opened.width, opened.height))
    shape = tuple(max(1, round(length * factor)) for length in (opened.height, opened.width))
    return Activation(row["probability"], network.map_of(opened.pixels, predicted, shape))


def _regions(
    opened: Opened, heat: np.ndarray | None, ends: Sequence[tuple[float, float] | None]
) -> list[str] | None:
    if heat is None or None in ends or ends[0] == ends[1]:
        return None
    scale = np.array([heat.shape[1] / opened.width, heat.shape[0] / opened.height])
    return list(active_regions(heat, *(np.array(end) * scale for end in ends)))

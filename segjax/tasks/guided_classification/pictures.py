"""Pictures of a guided classification: photograph, regions and activation map (paper, Fig. 3)."""

import pathlib
from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.figure import Figure

from segjax.data.png import write_png
from segjax.tasks.guided_classification.cells import enlarged
from segjax.tasks.metric import Columns

# The paper blurs with 32 x 32 pixels on photographs of 512.
BLUR = 32 / 512
STRONGEST = 0.6  # how much of the photograph the highest activation covers
REGION = (80, 255, 120)
DEEPEST = 65535  # of 16 bits


def chosen_cases(columns: Columns) -> dict[str, int]:
    """Indices of cases worth a look, by what they are; none twice, and what is none is left out.

    Of the true positives those whose AIR exceeds its chance level most, in the middle, and least;
    the false negative that was least likely positive, and the false positive that was most so.
    """
    probability, label = np.asarray(columns["probability"]), np.asarray(columns["label"]) > 0.5
    called = probability >= np.asarray(columns["threshold"])
    gain = np.asarray(columns["air"]) - np.asarray(columns["air_chance"])
    found = np.flatnonzero(label & called & np.isfinite(gain))
    chosen = {}
    if found.size:
        order = found[np.argsort(-gain[found], kind="stable")]
        chosen["found, highest AIR above chance"] = order[0]
        chosen["found, in the middle"] = order[len(order) // 2]
        chosen["found, lowest AIR above chance"] = order[-1]
    if (missed := np.flatnonzero(label & ~called)).size:
        chosen["missed"] = missed[np.argmin(probability[missed])]
    if (false := np.flatnonzero(~label & called)).size:
        chosen["false alarm"] = false[np.argmax(probability[false])]
    once: dict[int, str] = {}
    for title, index in chosen.items():
        once.setdefault(int(index), title)
    return {title: index for index, title in once.items()}


def smoothed(activation: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map `[k, l]` at a size for the eye: bilinear, then blurred."""
    large = cv2.resize(activation.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
    window = max(1, round(BLUR * min(size))) | 1  # OpenCV takes odd ones
    return cv2.GaussianBlur(large, (window, window), 0)


def normalized(heat: np.ndarray) -> np.ndarray:
    """A map from 0 at its lowest to 1 at its highest value.

    A map that is the same everywhere, and one that is not finite, gives 0.
    """
    low, high = float(heat.min()), float(heat.max())
    if not high - low > 1e-6 * max(abs(high), 1e-30):
        return np.zeros_like(heat)
    return (heat - low) / (high - low)


def overlaid(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A photograph under its map: the higher the activation, the less of it shows."""
    levels = np.rint(heat * 255).astype(np.uint8)
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)[..., ::-1]
    weight = (STRONGEST * heat)[..., None]
    return np.rint(image * (1 - weight) + colours * weight).astype(np.uint8)


def outlined(image: np.ndarray, region: np.ndarray) -> np.ndarray:
    """A photograph with the marked regions in outline, and the rest darker."""
    drawn = np.where(region[..., None], image, image // 3)
    drawn = np.ascontiguousarray(drawn.astype(np.uint8))
    lines, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(drawn, lines, -1, REGION, max(1, round(min(image.shape[:2]) / 200)))
    return drawn


def cases_figure(
    rows: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]], maps: Sequence[str] = ("",)
) -> Figure:
    """One row a case `(title, image, region, activation, …)`, an activation map a name in `maps`.

    Args:
        rows: images `[h, w, 3]` with a bool region of their size, and maps `[k, l]`.
        maps: what tells several maps apart, such as "with guidance".
    """
    columns = 2 + len(maps)
    figure = Figure(figsize=(2.6 * columns, 2.9 * len(rows)), layout="constrained")
    panels = np.reshape(figure.subplots(len(rows), columns), (len(rows), columns))
    heads = ("annotated regions", *(f"activation {name}".strip() for name in maps))
    for axes, (title, image, region, *activations) in zip(panels, rows, strict=True):
        shown = [image, outlined(image, region) if region.any() else image // 3]
        shown += [
            overlaid(image, normalized(smoothed(map_, image.shape[:2]))) for map_ in activations
        ]
        for place, picture in zip(axes, shown, strict=True):
            place.imshow(picture)
            place.set_axis_off()
        axes[0].set_title(title, fontsize=8, loc="left")
    for place, head in zip(panels[0, 1:], heads, strict=True):
        place.set_title(head, fontsize=8)
    figure.set_label(
        "Photographs as the network sees them, the annotated regions (dark: none), and the "
        "activation map, enlarged, blurred and scaled from its lowest to its highest value."
    )
    return figure


def write_pictures(
    folder: pathlib.Path,
    name: str,
    image: np.ndarray,
    box: tuple[int, int, int, int],
    activation: np.ndarray,
) -> None:
    """Writes overlays/NAME.png and activations/NAME.png, of the photograph's size.

    In the former, colours go from no activation to 1: scaled to what a map has, the faintest of a
    healthy eye would look like a finding. The latter holds round(65535 a) of the activation a in 16
    bits, enlarged and not normalised; 0 outside the box (top, bottom, left, right) that the network
    saw.
    """
    top, bottom, left, right = box
    inside = (slice(top, bottom), slice(left, right))
    size = (bottom - top, right - left)
    whole = np.rint(enlarged(activation, box, image.shape[:2]) * DEEPEST).astype(np.uint16)
    drawn = np.ascontiguousarray(image.copy())
    heat = np.clip(smoothed(activation, size), 0, 1)
    drawn[inside] = overlaid(image[inside], heat)
    write_png(folder / "overlays" / f"{name}.png", drawn)
    write_png(folder / "activations" / f"{name}.png", whole)

"""Captions of tiles: the name of an example, and what is annotated, in words."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segjax.data.regions import REGIONS

LINE = 12  # height of a line
CAPTION = 2 + 2 * LINE  # the least height of a caption, two lines
MOST_LINES = 12
BACKGROUND = (24, 24, 24)
INK = (235, 235, 235)


def lines_of(example: Mapping[str, np.ndarray], width: int) -> list[str]:
    """The caption of a tile: the name, cut, and what is annotated, in as many lines as it takes."""
    font = ImageFont.load_default(10)
    # The font's space is hardly wider than the gap between two letters
    title, told = (text.replace(" ", "  ") for text in caption_of(example))
    lines = [_fit(title, width - 4, font)]
    for word in told.split("  "):
        longer = f"{lines[-1]}  {word}" if lines[1:] else word
        if lines[1:] and font.getlength(longer) <= width - 4:
            lines[-1] = longer
        else:
            lines.append(_fit(word, width - 4, font))
    if len(lines) > MOST_LINES:
        lines[MOST_LINES - 1] = _fit("  ".join(lines[MOST_LINES - 1 :]), width - 4, font)
    return lines[:MOST_LINES]


def written(lines: Sequence[str], height: int, width: int) -> np.ndarray:
    """Lines of a caption as a strip, `[height, width, 3]`."""
    canvas = Image.new("RGB", (width, height), BACKGROUND)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(10)
    for number, line in enumerate(lines):
        draw.text((2, 1 + number * LINE), line, INK, font)
    return np.asarray(canvas)


def caption_of(example: Mapping[str, np.ndarray]) -> tuple[str, str]:
    """The image's name, and its class values."""
    title = _text(np.asarray(example.get("image_id", "")))
    findings, values = marked_regions(example), []
    of_findings = {f"{name}_{kind}" for name in findings for kind in ("label", "regions")}
    for name, value in example.items():
        value = np.asarray(value)
        if name in of_findings or _is_nan(value):
            continue
        if value.ndim == 0 and value.dtype.kind in "iubfUSO":
            text = _text(value)
            # The name itself, and the group or the patient of an image that is alone in it
            if value.dtype.kind in "iubf" or text.casefold() != title.casefold():
                values.append(f"{name}: {text}")
        elif value.ndim == 1 and value.size <= 16 and value.dtype.kind in "iub":
            values.append(f"{name}: " + " ".join(str(int(v)) for v in value))
    for name, marked in findings.items():
        label = int(example[f"{name}_label"])
        if label:
            values.append(f"{name}: {' '.join(marked)}" if label > 0 else f"{name}: undecided")
    return title, ", ".join(values)


def marked_regions(example: Mapping[str, np.ndarray]) -> dict[str, list[str]]:
    """The regions of each finding of an example."""
    found = {}
    for name, value in example.items():
        finding = name.removesuffix("_regions")
        if finding != name and f"{finding}_label" in example and np.shape(value) == (len(REGIONS),):
            found[finding] = [region for region, there in zip(REGIONS, value, strict=True) if there]
    return found


def _is_nan(value: np.ndarray) -> bool:
    return value.ndim == 0 and value.dtype.kind == "f" and bool(np.isnan(value))


def _text(value: np.ndarray) -> str:
    item = value.item()
    if isinstance(item, bytes):
        return item.decode(errors="replace")
    return f"{item:.4g}" if isinstance(item, float) else str(item)


def _fit(text: str, width: int, font) -> str:
    """The text, or as much of it as fits into `width` pixels."""
    if font.getlength(text) <= width:
        return text
    # Measured, not counted: the font is proportional, no letter narrower than a pixel
    text = text[:width]
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."

"""Pictures of many examples at once, with everything that is annotated drawn in.

Of a volume one slice is shown, the one with most foreground.
"""

import os
import pathlib
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segjax import checks
from segjax.data.captions import (
    BACKGROUND,
    CAPTION,
    INK,
    LINE,
    lines_of,
    marked_regions,
    written,
)
from segjax.data.ignored import IGNORED
from segjax.data.png import write_png
from segjax.data.regions import outlined

MARGIN = 4
POINT = (255, 255, 255)
# Far apart in hue and bright enough for dark tissue; a name keeps its colour on every sheet.
COLOURS = {
    "field_of_view": (128, 128, 128),
    "optic_disc": (0, 200, 255),
    "optic_cup": (0, 90, 255),
    "vessels": (60, 255, 60),
    "microaneurysms": (255, 0, 255),
    "haemorrhages": (255, 60, 60),
    "hard_exudates": (255, 255, 0),
    "soft_exudates": (255, 150, 0),
    "cotton_wool_patch": (255, 150, 0),
    "drusen": (190, 120, 255),
    "macular_hole": (0, 255, 180),
    "membrane": (60, 255, 60),
    "rnfl_defect": (90, 160, 255),
    "RV": (90, 160, 255),
    "M": (60, 255, 60),
    "LV": (255, 60, 60),
}
LIKENESS = 100  # of colours: the least sum of differences of red, green and blue
OTHERS = ((0, 255, 180), (190, 120, 255), (170, 220, 0), (255, 130, 190), (120, 180, 255))


def mask_colour(name: str) -> tuple[int, int, int]:
    """The colour in which masks and findings called `name` are drawn, the same on every sheet."""
    # A finding has the colour of its lesions' masks
    for known in (name, f"{name}s"):
        if known in COLOURS:
            return COLOURS[known]
    # Not hash(): Python salts it anew in each process, and a name would change colour between
    # sheets.
    return OTHERS[sum(name.encode()) % len(OTHERS)]


def mask_colours(names: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Colours of masks that are drawn together: each its own, as far as there are so many."""
    found: dict[str, tuple[int, int, int]] = {}
    for name in names:
        colour = mask_colour(name)
        free = [other for other in OTHERS if other not in found.values()]
        found[name] = free[0] if free and any(_near(colour, c) for c in found.values()) else colour
    return found


def _near(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    """Whether two colours are hard to tell apart."""
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) < LIKENESS


def contact_sheet(
    examples: Sequence[Mapping[str, np.ndarray]],
    *,
    columns: int = 4,
    tile: int = 256,
    classes: Sequence[str] = (),
) -> np.ndarray:
    """Lays out examples as tiles with their points, masks and class values.

    What a field is, its shape tells: a float field `[2]` is a point (x, y) in continuous pixels,
    drawn as a cross with its name; an integer or bool field `[h, w, 1]`, as high and wide as the
    image, is a mask, drawn as the contour of its non-zero pixels; a string, a number or a short
    vector of integers goes into the caption. Anything else is left out, and so is a string that
    only says the name again.

    Of a finding F, `F_label` and the regions `F_regions`, `[8]`, the caption has the names where it
    is present, and nothing where it is absent. With points `disc` and `fovea` the eight regions are
    outlined, and those of a finding shaded in its colour, of several in stripes.

    A volume, an example whose `image` is `[d, h, w, c]`, is shown by the slice with most foreground
    in its field `labels`, or the middle one. Slices lie across the axis of the largest `spacing`.
    The first channel is shown, from its 1st percentile in the slice, black, to its 99th, white.
    The label 255, of which nothing is known, is no foreground; it is outlined as `ignored`.

    Args:
        examples: each holds `image`, `[h, w, 3]`, `[h, w, 1]` or `[h, w]`, uint8 or uint16, or a
            volume `[d, h, w, c]` of any numbers, and any other fields.
        columns: tiles beside each other.
        tile: height and width in pixels of the square into which an image is fitted, its aspect
            kept.
        classes: names of a volume's labels from 1; others are `label 4` and the like.

    Returns:
        uint8 RGB `[height, width, 3]`: the tiles and, below them, the colours and names of masks
        and findings. Captions take the lines that the longest needs, from two to twelve.

    Empty cases: no examples raise; an example with `image` alone is shown bare.

    Raises:
        ValueError: no examples, `columns` below 1, `tile` below 16, an example without an image, an
            image of another shape or dtype, or a mask or labels that are not of its image's size.
    """
    if not examples:
        raise ValueError("`examples` takes at least one example, got none")
    checks.check("columns", columns, checks.whole(least=1))
    checks.check("tile", tile, checks.whole(least=16))
    examples = [_flat(example, classes, number) for number, example in enumerate(examples)]
    columns = min(columns, len(examples))
    rows = -(-len(examples) // columns)
    bases = [_base(example, i) for i, example in enumerate(examples)]
    names: dict[str, None] = {}  # masks and findings in the order in which they were met
    for i, (example, image) in enumerate(zip(examples, bases, strict=True)):
        names.update(
            dict.fromkeys([*_masks(example, image.shape[:2], i), *marked_regions(example)])
        )
    colours = mask_colours(list(names))
    captions = [lines_of(example, tile) for example in examples]
    caption = max(CAPTION, 2 + LINE * max(map(len, captions)))
    wide, high = tile + MARGIN, tile + caption + MARGIN
    sheet = np.full((rows * high + MARGIN, columns * wide + MARGIN, 3), BACKGROUND, np.uint8)
    for i, (example, image) in enumerate(zip(examples, bases, strict=True)):
        top, left = MARGIN + i // columns * high, MARGIN + i % columns * wide
        place = sheet[top : top + tile + caption, left : left + tile]
        place[:tile] = _tile(example, image, tile, colours)
        place[tile:] = written(captions[i], caption, tile)
    if not names:
        return sheet
    return np.concatenate([sheet, _legend(colours, sheet.shape[1])])


def write_contact_sheet(
    path: str | os.PathLike,
    examples: Sequence[Mapping[str, np.ndarray]],
    *,
    columns: int = 4,
    tile: int = 256,
    classes: Sequence[str] = (),
) -> None:
    """Writes `contact_sheet(examples, columns=..., tile=..., classes=...)` as a PNG file.

    The file appears whole or not at all. Missing folders are made.

    Args:
        path: the file to write; an existing one is replaced.
        examples, columns, tile, classes: as `contact_sheet` takes them.

    Raises:
        ValueError: as `contact_sheet` does.
    """
    sheet = contact_sheet(examples, columns=columns, tile=tile, classes=classes)
    write_png(pathlib.Path(path), sheet)


def _flat(example: Mapping, classes: Sequence[str], number: int) -> Mapping:
    """A volume as the plane that is shown of it, its labels as masks; a plane as it is."""
    image = np.asarray(example.get("image", 0))
    if image.ndim != 4:
        return example
    # Without a spacing argmax of zeros is 0: the stored order puts slices first
    axis = int(np.argmax(example.get("spacing", np.zeros(3))))
    image = np.moveaxis(image[..., 0], axis, 0)
    index, masks = len(image) // 2, {}
    if "labels" in example:
        labels = np.asarray(example["labels"])
        if labels.shape != np.shape(example["image"])[:3]:
            raise ValueError(
                f"`labels` takes the image's size {np.shape(example['image'])[:3]}, "
                f"got {labels.shape} in example {number}"
            )
        labels = np.moveaxis(labels, axis, 0)
        ignored = labels == IGNORED
        area = ((labels > 0) & ~ignored).sum(axis=(1, 2))
        index = int(area.argmax()) if area.any() else index
        names = dict(enumerate(classes, start=1))
        for value in range(1, max(len(classes), int(labels.max(where=~ignored, initial=0))) + 1):
            masks[names.get(value, f"label {value}")] = (labels[index] == value)[..., None]
        if ignored.any():
            masks["ignored"] = ignored[index][..., None]
    shown = {"image": _grey(image[index]), "slice": f"{index + 1} of {len(image)}"}
    return {k: v for k, v in example.items() if k not in ("image", "labels")} | shown | masks


def _grey(plane: np.ndarray) -> np.ndarray:
    """A plane of any numbers as uint8 `[h, w, 1]`, its extreme hundredths cut off."""
    plane = plane.astype(np.float32)
    # Not the extremes: a few very bright voxels would leave the rest of the plane black
    low, high = np.percentile(plane, [1, 99])
    scaled = (plane - low) / max(high - low, 1e-12)
    return (np.clip(scaled, 0, 1) * 255).astype(np.uint8)[..., None]


def _base(example: Mapping[str, np.ndarray], number: int) -> np.ndarray:
    """The example's image as uint8 RGB."""
    if "image" not in example:
        raise ValueError(f"example {number} has no `image`; it has {sorted(example)}")
    image = np.asarray(example["image"])
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[-1] not in (1, 3):
        raise ValueError(
            f"`image` takes [h, w], [h, w, 1] or [h, w, 3], got {image.shape} in example {number}"
        )
    if image.dtype == np.uint16:
        # Microscopes seldom use all sixteen bits: the brightest pixel becomes white.
        image = (image.astype(np.float32) * (255 / max(int(image.max()), 1))).astype(np.uint8)
    if image.dtype != np.uint8:
        raise ValueError(f"`image` takes uint8 or uint16, got {image.dtype} in example {number}")
    return np.broadcast_to(image, (*image.shape[:2], 3))


def _masks(example: Mapping[str, np.ndarray], shape: tuple, number: int) -> dict[str, np.ndarray]:
    found = {}
    for name, value in example.items():
        value = np.asarray(value)
        if (
            name == "image"
            or value.ndim != 3
            or value.shape[-1] != 1
            or value.dtype.kind not in "iub"
        ):
            continue
        if value.shape[:2] != shape:
            raise ValueError(
                f"`{name}` takes the image's size {shape}, got {value.shape[:2]} "
                f"in example {number}"
            )
        found[name] = value[..., 0] != 0
    return found


def _tile(
    example: Mapping[str, np.ndarray], image: np.ndarray, tile: int, colours: Mapping
) -> np.ndarray:
    """One image with its annotations, `[tile, tile, 3]`."""
    height, width = image.shape[:2]
    scale = tile / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(np.ascontiguousarray(image), size, interpolation=shrink)
    # Two factors: rounding the size to whole pixels makes the axes differ a little from `scale`
    stretch = np.array([size[0] / width, size[1] / height])
    small = _with_regions(small, example, stretch, colours)
    for name, mask in _masks(example, (height, width), 0).items():
        # Outlined after the resize, so that a contour is one pixel wide at any size of the image
        _outline(small, mask, colours[name])
    out = np.full((tile, tile, 3), BACKGROUND, np.uint8)
    top, left = (tile - size[1]) // 2, (tile - size[0]) // 2
    out[top : top + size[1], left : left + size[0]] = small
    canvas = Image.fromarray(out)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(10)
    for name, point in example.items():
        point = np.asarray(point)
        if point.shape == (2,) and point.dtype.kind == "f" and np.isfinite(point).all():
            _cross(draw, np.floor(point * stretch) + (left, top), name, font, tile)
    return np.asarray(canvas)


def _with_regions(
    image: np.ndarray, example: Mapping, stretch: np.ndarray, colours: Mapping
) -> np.ndarray:
    """The eight regions drawn in, those of findings shaded; without findings, the image itself."""
    found = marked_regions(example)
    marked: dict[str, list] = {}
    for finding, names in found.items():
        for region in names:
            marked.setdefault(region, []).append(colours[finding])
    disc, fovea = (np.asarray(example.get(name, np.nan)) * stretch for name in ("disc", "fovea"))
    if not found or not np.isfinite([disc, fovea]).all() or np.array_equal(disc, fovea):
        return image
    return outlined(image, disc, fovea, names=False, marked=marked)


def _outline(image: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Draws the contour of `mask` onto `image`, which may be of another size, in place."""
    size = image.shape[1::-1]
    # Area averages, then "anything at all": a one-pixel lesion must not vanish when shrunk.
    shrunk = size[0] < mask.shape[1]
    how = cv2.INTER_AREA if shrunk else cv2.INTER_NEAREST
    fitted = cv2.resize(mask.astype(np.float32), size, interpolation=how) > 0
    contours, _ = cv2.findContours(fitted.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(image, contours, -1, colour, 1)


def _cross(draw: ImageDraw.ImageDraw, place: np.ndarray, name: str, font, tile: int) -> None:
    x, y = (int(v) for v in place)
    arm = max(3, tile // 40)
    draw.line((x - arm, y, x + arm, y), POINT)
    draw.line((x, y - arm, x, y + arm), POINT)
    long = draw.textlength(name, font)
    draw.text(
        (min(x + 3, tile - long - 1), y + 2), name, POINT, font, stroke_width=1, stroke_fill=0
    )


def _legend(colours: Mapping[str, tuple[int, int, int]], width: int) -> np.ndarray:
    """A strip with a patch of colour beside each mask's name, in as many lines as it takes."""
    font = ImageFont.load_default(10)
    places, x, y = [], MARGIN, 0
    for name in colours:
        long = 18 + int(font.getlength(name)) + 8
        if x > MARGIN and x + long > width:
            x, y = MARGIN, y + LINE + 2
        places.append((x, y))
        x += long
    canvas = Image.new("RGB", (width, y + LINE + 2 + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for (name, colour), (x, y) in zip(colours.items(), places, strict=True):
        draw.rectangle((x, y + 2, x + 12, y + LINE), fill=colour)
        draw.text((x + 17, y), name, INK, font)
    return np.asarray(canvas)

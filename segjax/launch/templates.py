"""The text of the experiment files that `segjax new` writes, a function a task."""

import json
import pathlib
import shlex
import textwrap
from collections.abc import Sequence
from typing import Any

from segjax.data import fields, store
from segjax.errors import UserError
from segjax.launch import records

BATCH = 8  # also of fewer images, which come several times then; as many as devices mostly are
SIDE = 128  # pixels of the longer side of a photograph
PATCH = 96  # pixels of a slice
COARSER = 1.6  # times the plan's pixels at most, where a patch is to show as much with fewer

LESIONS = "lesion_segmentation"
SMALLEST = 192  # pixels: two patches of it at half the size
LARGE = 2048  # pixels of a side from which on refinement goes by steps of 4

LOSSES = {
    "segmentation": ("dice", "cross_entropy", "focal", "lovasz_softmax", "boundary"),
    "localization": ("msce", "msce+max/sum", "sce", "sce+max/sum", "mse"),
    "volume_segmentation": ("rrw", "weighted_cross_entropy", "dice", "focal", "boundary"),
}
# Of words that are no names of losses (docs/losses.md): what they stand for.
WORDS = {
    "localization": "msce multiscale softmax cross entropy, sce softmax cross entropy, mse squared"
    "\n           error of the coordinates; +max/sum pools by maxima and reduces to axes by sums,"
    "\n           where the others take means",
    "volume_segmentation": "rrw region_wise with rectified maps, weighted_cross_entropy weighted by"
    "\n           these, boundary with boundary maps, to which dice gives way",
}


def quote(path: str | pathlib.Path) -> str:
    """A path as a shell takes it."""
    return shlex.quote(str(path))


def first_size(made: Any) -> tuple[int, int]:
    """Height and width of the first photograph of the training split."""
    height, width = store.open_split(made, "train", ("image",))[0]["image"].shape[:2]
    return height, width


def _size_lines(made: Any) -> str:
    """A comment on the size of the photographs, where the network sees them smaller."""
    height, width = first_size(made)
    if max(height, width) <= SIDE:
        return ""
    return (
        f"    # The first photograph has {height} x {width} pixels; task_options.full_size = "
        f"({height}, {width})\n    # trains on patches of image_size instead of shrinking it\n"
    )


def _header(path: pathlib.Path, what: str, task: str, more: str = "") -> str:
    losses = "|".join(LOSSES[task])
    words = f"\nLosses:    {WORDS[task]}" if task in WORDS else ""
    return _docstring(path, what, f"loss={losses}, steps=N{more}{words}", "losses")


def _docstring(path: pathlib.Path, what: str, arguments: str, swept: str) -> str:
    return f'''"""{what}

Command:   segjax train --config {quote(path)} --workdir {quote(f"work/{path.stem}")}
           segjax sweep --config {quote(path)} --workdir {quote(f"work/{path.stem}-{swept}")}
Arguments: {arguments}
"""
'''


def _sweep(losses: Sequence[str]) -> str:
    return f"""

def sweep():
    losses = [{", ".join(map(json.dumps, losses))}]
    return product([{{"arg": f"loss={{loss}}"}} for loss in losses], seed=[0, 1, 2])
"""


def _listed(names: Sequence[str]) -> str:
    """Names as the inside of a tuple."""
    return ", ".join(map(json.dumps, names)) + ("," if len(names) == 1 else "")


def _splits(made: Any) -> dict[str, str]:
    """What each split of the config is of the set: a fifth of `train` where none is validation."""
    found = {name: name for name in ("train", "validation", "test") if name in made.info.splits}
    if "validation" not in found:
        found |= {"train": "train[:80%]", "validation": "train[80%:]"}
    return found


def _common(data: str, data_dir: str, made: Any) -> str:
    """Lines on data and validation that all files of photographs have."""
    splits = _splits(made)
    own_splits = f"    config.data.splits = {json.dumps(splits)}\n"
    return f"""\
    config.data.name, config.data.data_dir = {_listed((data, data_dir))}
{own_splits if splits["train"] != "train" else ""}\
    config.data.batch_size = config.evaluate.batch_size = {BATCH}
    config.evaluate.every_epochs, config.evaluate.every_percent = None, 10
"""


def segmentation(path, data, data_dir, made) -> str:
    masks, losses = records.largest_first(made, fields.masks(made)), LOSSES["segmentation"]
    within = f', within="{fields.ANNOTATED}"' if fields.has_annotated(made) else ""
    outputs = 1 if len(masks) == 1 else len(masks) + 1
    targets = _listed(masks)
    order = "    # Where classes overlap, the later one counts\n" if len(masks) > 1 else ""
    what = f"Outlines {', '.join(masks)} on the photographs of {data}."
    return (
        _header(path, what, "segmentation", ", size=PIXELS")
        + f'''
from segjax.config.arguments import parse_arg
from segjax.config.defaults import base
from segjax.config.lookup import spec
from segjax.config.sweeps import product
from segjax.recipes.augmentation import augmentations
from segjax.recipes.combinations import segmentation_loss
from segjax.recipes.tasks import task_options
from segjax.recipes.training import quick_optimizer


def get_config(arg=None):
    args = parse_arg(arg, loss="{losses[0]}", steps=600, size={SIDE})
    config = base()
    config.task = "segmentation"
{order}\
    config.task_options = task_options(config.task, targets=({targets}){within})
    config.model = spec("models", "CellposeUNet", features=(8, 16, 32, 64), outputs={outputs})
    config.loss.update(segmentation_loss(args["loss"]))  # with the partner of its paper
{_size_lines(made)}\
    config.data.image_size = (args["size"], args["size"])
    config.data.augment = augmentations(config.task, flip_horizontal=0.5, rotate=15.0)
{_common(data, data_dir, made)}\
    config.evaluate.best, config.evaluate.best_mode = "dice", "max"
    return quick_optimizer(config, steps=args["steps"], learning_rate=3e-3)
'''
        + _sweep(losses)
    )


def lesions(path, data, data_dir, made) -> str:
    """A pipeline: two scales that propose lesions of the smallest class, two refinements."""
    (height, width), splits = first_size(made), _splits(made)
    if min(height, width) < SMALLEST:
        raise UserError(
            f"--task {LESIONS}: the first photograph of {data} has {width}x{height} pixels; "
            f"patches at two scales want {SMALLEST} at least"
        )
    target = records.largest_first(made, fields.masks(made))[-1]
    file, folder = quote(path), quote(f"work/{path.stem}")
    test = "" if "test" in splits else " --split validation"
    stride = 4 if max(height, width) > LARGE else 2
    return f'''"""Finds {target} on the photographs of {data} at full resolution, in two stages.

Command:   segjax pipeline train {file} --workdir {folder}
           segjax pipeline evaluate {file} --workdir {folder}{test}
           segjax pipeline predict {file} --workdir {folder} --input PHOTOGRAPHS --output OUT
Arguments: target=FIELD of the masks, seed=N
"""

from segjax.config.arguments import parse_arg
from segjax.recipes import microaneurysms

# Which photographs are healthy, and give patches without lesions: those with an empty mask, or by
# a value of a field, as in "grade=0"
HEALTHY = ""


def get_pipeline(arg=None):
    args = parse_arg(arg, target={json.dumps(target)}, seed=0)
    shared = {{"target": args["target"], "healthy": HEALTHY}}
    stages = {{}}
    for name, scale in (("hgn_1x", 1.0), ("hgn_05x", 0.5)):
        stages[name] = microaneurysms.hypotheses({json.dumps(data)}, scale, **shared)
        microaneurysms.small_hypotheses(stages[name], patch={SMALLEST // 2}, steps=240)
    for name, triplets in (("cls", False), ("prn", True)):
        stages[name] = microaneurysms.refinement({json.dumps(data)}, triplets, **shared)
        microaneurysms.small_refinement(stages[name], patch=65, steps=400, pool=1000)
    for config in stages.values():
        config.seed, config.data.data_dir = args["seed"], {json.dumps(data_dir)}
        config.data.splits = {json.dumps(splits)}
    return microaneurysms.two_stages(stages, strides=({stride},), most_patches=20_000)
'''


def localization(path, data, data_dir, made) -> str:
    points, losses = fields.points(made), LOSSES["localization"]
    what = f"Finds the point {points[0]} on the photographs of {data}."
    return (
        _header(path, what, "localization", ", size=PIXELS")
        + f'''
from segjax.config.arguments import parse_arg
from segjax.config.defaults import base
from segjax.config.lookup import spec
from segjax.config.sweeps import product
from segjax.recipes.augmentation import augmentations
from segjax.recipes.localization import localization_loss
from segjax.recipes.tasks import task_options
from segjax.recipes.training import quick_optimizer


def get_config(arg=None):
    args = parse_arg(arg, loss="{losses[0]}", steps=600, size={SIDE})
    loss, decoding = localization_loss(args["loss"])
    config = base()
    config.task = "localization"
    config.task_options = task_options(config.task, target="{points[0]}", **decoding)
    config.model = spec("models", "CellposeUNet", features=(8, 16, 32, 64))
    config.loss.update(loss)
    config.data.image_size = (args["size"], args["size"])
    config.data.augment = augmentations(config.task, flip_horizontal=0.5, translate=0.1)
{_common(data, data_dir, made)}\
    config.evaluate.best, config.evaluate.best_mode = "distance_pixels", "min"
    return quick_optimizer(config, steps=args["steps"], learning_rate=3e-3)
'''
        + _sweep(losses)
    )


def findings(path, data, data_dir, made) -> str:
    what = f"Tells whether a photograph of {data} shows a finding, guided by marked regions."
    first = records.first_finding(made)
    known = textwrap.fill(", ".join(fields.findings(made)), 85, break_long_words=False)
    known = f"\nFindings:  {textwrap.indent(known, ' ' * 11).strip()}"
    arguments = f"finding=NAME, guidance=WEIGHT, steps=N, size=PIXELS{known}"
    return (
        _docstring(path, what, arguments, "guidance")
        + f'''
from segjax.config.arguments import parse_arg
from segjax.config.defaults import base
from segjax.config.sweeps import product
from segjax.recipes.augmentation import augmentations
from segjax.recipes.findings import guided_loss, network
from segjax.recipes.tasks import task_options
from segjax.recipes.training import quick_optimizer


def get_config(arg=None):
    args = parse_arg(arg, finding="{first}", guidance=0.2, steps=600, size={SIDE})
    config = base()
    config.task = "guided_classification"
    config.task_options = task_options(config.task, finding=args["finding"])
    config.model = network(args["finding"], features=(8, 16, 32), branch=32)
    config.loss.update(guided_loss(args["guidance"], "both"))
    config.data.image_size = (args["size"], args["size"])
    config.data.augment = augmentations(config.task, flip_horizontal=0.5, rotate=10.0)
{_common(data, data_dir, made)}\
    config.evaluate.best, config.evaluate.best_mode = "auroc", "max"
    return quick_optimizer(config, steps=args["steps"], learning_rate=5e-3)


def sweep():
    return product([{{"arg": f"guidance={{weight}}"}} for weight in (0.2, 0.0)], seed=[0, 1, 2])
'''
    )


def volumes(path, data, data_dir, made, plan) -> str:
    losses = LOSSES["volume_segmentation"]
    factor = max(1.0, min(COARSER, max(plan.patch_size) / PATCH))
    planned = tuple(round(float(size), 2) for size in plan.spacing[1:])
    spacing = tuple(round(size * factor, 2) for size in planned)
    what = f"Outlines {', '.join(made.CLASSES)} in the volumes of {data}."
    more = f",\n           plan=FILE, which `segjax plan {data}` writes: the full size, for a GPU"
    ignored = "    config.task_options.ignored = True  # voxels of the label 255 count nowhere\n"
    return (
        _header(path, what, "volume_segmentation", more)
        + f'''
from segjax.config.arguments import parse_arg
from segjax.config.defaults import base
from segjax.config.sweeps import product
from segjax.recipes.nnunet import Size, follow, take_size
from segjax.recipes.region_wise import region_wise_loss
from segjax.recipes.training import short_volume_training

CLASSES = ({_listed(made.CLASSES)})
MODALITIES = ({_listed(made.MODALITIES)})
SMALL = Size(
    patch=({PATCH}, {PATCH}),
    pools=(4, 4),
    pixel_spacing={spacing},  # mm; the plan has {planned}
    batch_size={BATCH},
    features=16,
    most_features=128,
)


def get_config(arg=None):
    args = parse_arg(arg, loss="{losses[0]}", steps=1000, plan="")
    config = base()
    config.data.name, config.data.data_dir = {_listed((data, data_dir))}
    take_size(config, SMALL, CLASSES, MODALITIES)
{ignored if fields.has_ignored(made) else ""}\
    if args["plan"]:
        follow(config, args["plan"])
    config.loss.update(region_wise_loss(args["loss"]))
    config.data.splits = {json.dumps(_splits(made))}
    config.evaluate.best, config.evaluate.best_mode = "dice", "max"
    return short_volume_training(config, steps=args["steps"])
'''
        + _sweep(losses)
    )

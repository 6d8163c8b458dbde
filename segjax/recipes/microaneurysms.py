"""Microaneurysms in two stages: networks, losses, training, and the rows of the paper's table.

Source: Sarhan et al., Multi-scale Microaneurysms Segmentation Using Embedding Triplet Loss (2019).
"""

from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict

from segjax.config.defaults import base
from segjax.config.lookup import spec
from segjax.recipes.augmentation import augmentations
from segjax.recipes.loss_terms import term
from segjax.recipes.tasks import task_options
from segjax.recipes.training import quick_optimizer

HYPOTHESES, REFINEMENT = "lesion_segmentation", "patch_refinement"
EPOCH = 1000  # batches (section 3.1)
# Section 3.1: rates of the networks at the two scales, sizes of patches and batches.
RATES = {1.0: 1e-6, 0.5: 1e-5}
HYPOTHESIS_PATCH, HYPOTHESIS_BATCH = 256, 10
REFINEMENT_PATCH, REFINEMENT_BATCH, REFINEMENT_RATE = 129, 90, 1e-5
MARGIN, RESCORE_EPOCHS, DROP_EPOCHS, DROP = 0.5, 10, 20, 0.1
# Not in the paper: how much lesion pixels weigh, of which a patch has few; how long to train.
CLASS_WEIGHTS, HYPOTHESIS_EPOCHS, REFINEMENT_EPOCHS = (1.0, 10.0), 40, 40
# Flips, turns and intensity, of which the paper says nothing.
AUGMENTATION = {
    "flip_horizontal": 0.5,
    "flip_vertical": 0.5,
    "transpose": 0.5,
    "brightness": 0.05,
    "contrast": 0.1,
}


def hypothesis_loss() -> dict[str, ConfigDict]:
    """Weighted cross entropy and V-Net's Dice of the lesions (section 2)."""
    return {
        "cross_entropy": term("cross_entropy", class_weights=CLASS_WEIGHTS),
        "dice": term("dice", squared=True, include_background=False, over="batch", smooth=1.0),
    }


def refinement_loss(triplets: bool) -> dict[str, ConfigDict]:
    """Cross entropy of anchor and negative, and equation (1), as means over the triplets."""
    terms = {"cross_entropy": term("cross_entropy")}
    if triplets:
        terms["triplet"] = spec("losses", "triplet", margin=MARGIN, distance="angular")
        terms["triplet"].weight = 1.0
    return terms


def hypotheses(data: str, scale: float, **options: object) -> ConfigDict:
    """The network that proposes lesions at a scale, as the paper trains it.

    Args:
        data: name of the set.
        scale: of height and width.
        options: of the task.
    """
    config = base()
    config.task = HYPOTHESES
    config.task_options = task_options(
        HYPOTHESES, scale=float(scale), epoch_batches=EPOCH, **options
    )
    config.data.name = data
    config.data.image_size = (HYPOTHESIS_PATCH, HYPOTHESIS_PATCH)
    config.data.batch_size = HYPOTHESIS_BATCH
    config.data.augment = augmentations(HYPOTHESES, **AUGMENTATION)
    config.model = spec("models", "FRRN", classes=2, variant="A")
    config.loss.update(hypothesis_loss())
    config.optimizer = spec("optimizers", "adam", learning_rate=RATES.get(scale, RATES[0.5]))
    config.schedule = spec("schedules", "constant")
    return _judged(config, HYPOTHESIS_EPOCHS)


def refinement(data: str, triplets: bool = True, **options: object) -> ConfigDict:
    """The network that judges patches, as the paper trains it; without triplets its `cls`.

    Args:
        data: name of the set.
        triplets: whether the embedding is trained, too.
        options: of the task.
    """
    config = base()
    config.task = REFINEMENT
    config.task_options = task_options(
        REFINEMENT,
        triplets=triplets,
        rescore_epochs=RESCORE_EPOCHS,
        epoch_batches=EPOCH,
        **options,
    )
    config.data.name = data
    config.data.image_size = (REFINEMENT_PATCH, REFINEMENT_PATCH)
    config.data.batch_size = REFINEMENT_BATCH
    config.data.augment = augmentations(REFINEMENT, **AUGMENTATION)
    config.model = spec("models", "PatchResNet", classes=2)
    config.loss.update(refinement_loss(triplets))
    config.optimizer = spec("optimizers", "adam", learning_rate=REFINEMENT_RATE)
    config.schedule = spec(
        "schedules",
        "exponential_decay",
        decay_steps=DROP_EPOCHS * EPOCH,
        decay_rate=DROP,
        staircase=True,
    )
    return _judged(config, REFINEMENT_EPOCHS)


def _judged(config: ConfigDict, epochs: int) -> ConfigDict:
    config.train.steps, config.train.epochs = None, epochs
    config.evaluate.every_epochs, config.evaluate.every_percent = None, 10
    config.evaluate.batch_size = 8
    config.evaluate.best, config.evaluate.best_mode = "auc_pr", "max"
    config.data.resident_megabytes = 8192
    return config


def small_hypotheses(config: ConfigDict, *, patch: int, steps: int) -> ConfigDict:
    """A narrow network that proposes lesions, for two CPU cores."""
    config.model.base, config.model.lanes = 8, 8
    config.data.image_size, config.data.batch_size = (patch, patch), 8
    config.task_options.tile, config.task_options.tile_step = 256, 0.75
    return _quick(config, steps, learning_rate=3e-3)


def small_refinement(config: ConfigDict, *, patch: int, steps: int, pool: int) -> ConfigDict:
    """A narrow network of patches, for two CPU cores: ten epochs, scored again after each."""
    # The cheapest of the networks with one reduction left out
    config.model.width, config.model.omitted = 8, "last"
    config.data.image_size, config.data.batch_size = (patch, patch), 16
    config.task_options.epoch_batches = max(1, steps // 10)
    config.task_options.rescore_epochs = 1
    config.task_options.pool = pool
    config.task_options.judged_patches = 100
    return _quick(config, steps, learning_rate=2e-3)


def _quick(config: ConfigDict, steps: int, learning_rate: float) -> ConfigDict:
    quick_optimizer(config, steps=steps, learning_rate=learning_rate)
    config.train.epochs = None
    config.evaluate.every_percent = 50
    return config


# --- two stages composed --------------------------------------------------------------------------

# Table 2: the maps of each row, and how they are fused; `cls@hgn_1x` is the map of the refinement
# `cls` under the mask of the hypotheses `hgn_1x`.
ROWS = {
    "HGN 1x": ("hgn_1x",),
    "HGN 0.5x": ("hgn_05x",),
    "HGN geometric": ("hgn_1x", "hgn_05x"),
    "HGN arithmetic": ("hgn_1x", "hgn_05x"),
    "cls geometric": ("hgn_1x", "hgn_05x", "cls@hgn_1x", "cls@hgn_05x"),
    "cls arithmetic": ("hgn_1x", "hgn_05x", "cls@hgn_1x", "cls@hgn_05x"),
    "PRN arithmetic": ("hgn_1x", "hgn_05x", "prn@hgn_1x", "prn@hgn_05x"),
    "PRN geometric": ("hgn_1x", "hgn_05x", "prn@hgn_1x", "prn@hgn_05x"),
}
# Which rows are compared: what a scale, a refinement and triplets bring.
COMPARED = (
    ("HGN geometric", "HGN 1x"),
    ("cls geometric", "HGN geometric"),
    ("PRN geometric", "HGN geometric"),
    ("PRN geometric", "cls geometric"),
    ("PRN geometric", "HGN 1x"),
)


def two_stages(
    stages: Mapping[str, ConfigDict],
    *,
    proposals: Sequence[str] = ("hgn_1x", "hgn_05x"),
    refinements: Sequence[str] = ("cls", "prn"),
    rows: Mapping[str, Sequence[str]] = ROWS,
    compared: Sequence[tuple[str, str]] = COMPARED,
    predicted: str = "PRN geometric",
    strides: Sequence[int] = (1,),
    refine_above: float = 0.1,
    most_patches: int = 0,
    threshold: float = 0.5,
    hit: str = "overlap",
    paper: Mapping[str, Mapping[str, float]] | None = None,
) -> ConfigDict:
    """A pipeline (`segjax pipeline`): what proposes lesions, what refines, and what they make.

    Args:
        stages: the config of each training by name, in the order in which they are trained.
        proposals: the stages that give a map of the whole photograph.
        refinements: those that judge patches where a proposal is above the threshold.
        rows: the maps of each result, by its name: STAGE, or REFINEMENT@PROPOSAL. The last word of
            a name says how they are fused; a single map needs none.
        compared: pairs of rows, the better one expected first.
        predicted: the row that `predict` writes.
        strides: pixels between patches, coarse to fine: each cell of the first stride is judged by
            its pixel of the strongest proposal, and again by those of the next where its value is
            at least `refine_above`.
        refine_above: see `strides`.
        most_patches: how many patches a photograph may have, those of the strongest proposals
            first; what is left is 0; 0 sets no bound.
        threshold: of proposals.
        hit: when a lesion counts as found (`metrics.match_lesions`).
        paper: a paper's figures by row and metric.
    """
    # Tuples, for names of rows have dots, which keys of a config cannot have
    fused = tuple((name, tuple(maps), _fusion(name)) for name, maps in rows.items())
    figures = tuple((name, tuple(row.items())) for name, row in (paper or {}).items())
    return ConfigDict(
        {
            "pipeline": "two_stages",
            "stages": {name: config.to_dict() for name, config in stages.items()},
            "proposals": tuple(proposals),
            "refinements": tuple(refinements),
            "rows": fused,
            "compared": tuple(tuple(pair) for pair in compared),
            "predicted": predicted,
            "refine": {
                "threshold": threshold,
                "strides": tuple(strides),
                "above": refine_above,
                "most_patches": most_patches,
            },
            "hit": hit,
            "paper": figures,
        },
        type_safe=False,
    )


def _fusion(name: str) -> str:
    last = name.rpartition(" ")[2]
    return last if last in ("arithmetic", "geometric") else "arithmetic"

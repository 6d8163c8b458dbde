"""Two stages of the smallest networks on synthetic photographs, as a file of a pipeline.

The argument after the colon is not used; overrides make variants.
"""

from segjax.config.lookup import spec
from segjax.recipes import microaneurysms

DATA = "synthetic_fundus/96px_8_12_6"
PATCH = (17, 17)
PROPOSALS, REFINEMENTS = ("hgn", "half"), ("prn",)
ROWS = {
    "HGN": ("hgn",),
    "half": ("half",),
    "HGN geometric": ("hgn", "half"),
    "PRN": ("prn@hgn",),
    "PRN arithmetic": ("hgn", "half", "prn@hgn", "prn@half"),
    "PRN geometric": ("hgn", "half", "prn@hgn", "prn@half"),
}
COMPARED = (("PRN geometric", "HGN"), ("HGN geometric", "HGN"))
PAPER = {"HGN": {"auc_pr": 0.3374, "f1": 0.25}, "U-Net of others": {"auc_pr": 0.1}}


def stages():
    """The config of each stage."""
    shared = {"healthy": "grade=0", "gain": 0.0}
    made = {
        "hgn": microaneurysms.hypotheses(DATA, 1.0, tile=48, **shared),
        "half": microaneurysms.hypotheses(DATA, 0.5, **shared),
        "prn": microaneurysms.refinement(DATA, **shared, judged_patches=20, score_batch=256),
    }
    for name, config in made.items():
        config.model = spec("models", f"tests.pipelines.networks:{_network(name)}")
        config.data.image_size, config.data.batch_size = PATCH, 8
        config.task_options.epoch_batches = 1
        config.train.steps, config.train.epochs = 2, None
        config.optimizer = spec("optimizers", "adam", learning_rate=1e-2)
        config.schedule = spec("schedules", "constant")
        config.log.tensorboard = False
        config.log.every_steps = 1
    made["prn"].task_options.pool = 50
    made["prn"].task_options.rescore_epochs = 1
    return made


def _network(name):
    return "Patches" if name in REFINEMENTS else "Pixels"


def get_pipeline():
    return microaneurysms.two_stages(
        stages(),
        proposals=PROPOSALS,
        refinements=REFINEMENTS,
        rows=ROWS,
        compared=COMPARED,
        predicted="PRN geometric",
        strides=(4, 2),
        refine_above=0.4,
        most_patches=400,
        paper=PAPER,
    )

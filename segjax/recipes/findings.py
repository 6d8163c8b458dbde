"""Findings of the fundus: the network of each, the losses of guidance, the paper's training.

Source: Son et al., Classification of Findings with Localized Lesions in Fundoscopic Images using a
Regionally Guided CNN (2018).
"""

from ml_collections import ConfigDict

from segjax.checks import nearest
from segjax.config.lookup import spec
from segjax.errors import UserError
from segjax.recipes.augmentation import augmentations
from segjax.recipes.loss_terms import term

TASK = "guided_classification"
# Dilation rates by the size of a finding (section 2.2).
RATES = {"large": (1, 2, 4, 8), "medium": (1, 2, 4), "small": (1, 2)}
# Findings with small lesions, before whose average a maximum is taken (section 2.2).
SMALL = (
    "haemorrhage",
    "hard_exudate",
    "cotton_wool_patch",
    "drusen",
    "retinal_pigmentary_change",
    "microaneurysm",  # ours: the paper has none
)
# The paper does not say which of the others are large: by what they cover of the retina.
LARGE = ("membrane", "rnfl_defect")
MEDIUM = ("macular_hole",)
FINDINGS = (*MEDIUM, *SMALL, *LARGE)
EPSILON, GUIDANCE = 1e-3, 1.0
FORMS = ("log", "complement", "both")
MODELS = ("guided", "inception")


def size_of(finding: str) -> str:
    """Whether a finding is large, medium or small; a finding that is not listed is medium."""
    return "small" if finding in SMALL else "large" if finding in LARGE else "medium"


def network(finding: str, **options: object) -> ConfigDict:
    """The guided classifier for a finding; `options` are those of `models.GuidedClassifier`."""
    size = size_of(finding)
    return spec("models", "GuidedClassifier", rates=RATES[size], pool=size == "small", **options)


def guided_loss(guidance: float = GUIDANCE, form: str = "log") -> dict[str, ConfigDict]:
    """Cross entropy, and guidance with its weight; 0 is the paper's network without guidance.

    The paper's loss ('log') has next to no gradient where a cell far from the finding is sure, so
    that a map which began in a wrong place stays there; its `complement` moves such cells, and
    leaves a faint activation everywhere. 'both' takes the two together.

    Args:
        guidance: the weight of each term of guidance.
        form: 'log', as the paper; 'complement'; or 'both'.

    Raises: UserError for another form.
    """
    if form not in FORMS:
        raise UserError(f"form={form!r}: takes one of {', '.join(FORMS)}{nearest(form, FORMS)}")
    terms = {"cross_entropy": term("cross_entropy")}
    if form != "both":
        return terms | {"guidance": term("guidance", guidance, epsilon=EPSILON, form=form)}
    return terms | {
        f"guidance_{each}": term("guidance", guidance, epsilon=EPSILON, form=each)
        for each in ("log", "complement")
    }


def inception_loss() -> dict[str, ConfigDict]:
    """Cross entropy of both heads; that of the auxiliary one weighs 0.4, as published."""
    auxiliary = term("cross_entropy", 0.4)
    auxiliary.inputs = {"logits": "auxiliary_logits"}
    return {"cross_entropy": term("cross_entropy"), "auxiliary": auxiliary}


def choose_model(
    config: ConfigDict, model: str, finding: str, guidance: float, form: str = "log"
) -> ConfigDict:
    """Writes model and losses: `guided`, or `inception`, which has no map to guide."""
    if model not in MODELS:
        raise UserError(
            f"model={model!r}: takes one of {', '.join(MODELS)}{nearest(model, MODELS)}"
        )
    if model == "inception":
        config.model = spec("models", "InceptionV3", auxiliary=True)
        config.loss.update(inception_loss())
    else:
        config.model = network(finding)
        config.loss.update(guided_loss(guidance, form))
    return config


def guided_paper_training(config: ConfigDict) -> ConfigDict:
    """512 pixels, batches of 32, SGD with Nesterov momentum 0.9, best validation loss.

    The paper augments by flip, scaling, rotation, translation, shear and intensity, and lets the
    rate decay, without numbers; those here are ours, as are 50 epochs and a patience of 10.

    Source: Son et al. (2018), section 3.1.
    """
    config.data.image_size = (512, 512)
    config.data.batch_size = 32
    config.data.augment = augmentations(
        TASK,
        flip_horizontal=0.5,
        scale=0.1,
        rotate=15.0,
        translate=0.05,
        shear=5.0,
        brightness=0.1,
        contrast=0.1,
    )
    config.optimizer = spec("optimizers", "sgd", learning_rate=0.01, momentum=0.9, nesterov=True)
    config.schedule = spec("schedules", "polynomial_decay", power=0.9)
    config.train.steps, config.train.epochs = None, 50
    config.train.patience_epochs = 10
    config.evaluate.best, config.evaluate.best_mode = "loss", "min"
    return config

"""What the experiments on microaneurysms share: the set and its splits."""

from segjax.checks import nearest
from segjax.errors import UserError

IDRID = "idrid/lesions"
# How photographs are shared out, with lesions and healthy: (train, validation); the rest is test.
# The paper's (Table 1) takes the official test photographs.
SPLITS = {
    "paper": {
        "train": "train[:44]+healthy[:80]",
        "validation": "train[44:]+healthy[80:89]",
        "test": "test+healthy[89:]",
    },
    # Without the official test photographs: shares of what there is
    "part": {
        "train": "train[:56%]+healthy[:57%]",
        "validation": "train[56%:75%]+healthy[57%:79%]",
        "test": "train[75%:]+healthy[79%:]",
    },
}


def on_idrid(config, splits):
    """IDRiD at full resolution; splits are the paper's, or shares of the official training set."""
    if splits not in SPLITS:
        raise UserError(
            f"splits={splits!r}: takes one of {', '.join(SPLITS)}{nearest(splits, SPLITS)}"
        )
    config.data.splits = dict(SPLITS[splits])
    return config

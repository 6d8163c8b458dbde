"""What results come from, as digests: the networks, and how they are composed."""

import hashlib
import json
from collections.abc import Mapping

import jax
import numpy as np

from segjax.config.defaults import PLACES
from segjax.inference.open import Trained
from segjax.pipelines.definition import Definition, Row
from segjax.tasks.lesions import metrics
from segjax.train.workdir import CONFIG


def of_stages(trained: Mapping[str, Trained]) -> dict[str, str]:
    """Of each stage: its parameters and batch statistics, and its config wherever its data lie.

    The config, for options such as those of tiles change a map and no parameter; as it was saved,
    for a later version adds options to what it reads.
    """
    found = {}
    for name, made in trained.items():
        content = json.loads((made.folder / CONFIG).read_bytes())
        content["data"] = {k: v for k, v in content["data"].items() if k not in PLACES}
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
        for leaf in jax.tree.leaves(jax.device_get(made.state.variables)):
            digest.update(np.ascontiguousarray(leaf).tobytes())
        found[name] = digest.hexdigest()
    return found


def of_row(definition: Definition, row: Row, stages: Mapping[str, str]) -> str:
    """Of the map of a row, whatever the other rows are called and made of."""
    proposals, refinements = definition.needed([row])
    content: dict = {"maps": row.maps, "fusion": row.fusion}
    content["stages"] = {name: stages[name] for name in (*proposals, *refinements)}
    if refinements:
        content["masks"] = {name: definition.masks_of(name) for name in refinements}
        content["refine"] = [definition.threshold, definition.strides]
        content["refine"] += [definition.above, definition.most_patches]
    return _digest(content)


def of_evaluation(
    definition: Definition, stages: Mapping[str, str], trained: Mapping[str, Trained]
) -> str:
    """Of what is kept of each photograph: the rows in their order, the data, how lesions count."""
    content = {
        "rows": [of_row(definition, row, stages) for row in definition.rows],
        "hit": definition.hit,
        "columns": metrics.LESIONS,
        "data": {
            name: [made.experiment.data.digest, made.experiment.config.data.splits.to_dict()]
            for name, made in trained.items()
        },
    }
    return _digest(content)


def _digest(content: Mapping) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

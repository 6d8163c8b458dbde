"""What `segjax pipeline` does: trains, evaluates, predicts."""

import json
import math
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence

from segjax.errors import UserError
from segjax.inference.evaluate import changed_data
from segjax.inference.open import Trained
from segjax.inference.predict import Predicted, predict_with
from segjax.pipelines import evaluation, identity, report, stages
from segjax.pipelines.definition import Definition
from segjax.pipelines.prediction import PipelinePredictor
from segjax.report.text import UNKNOWN
from segjax.tasks.lesions import outputs
from segjax.train import holder, workdir

ADVICE = "0.5 is taken; `segjax pipeline evaluate` chooses one on the validation split"


def evaluate(
    definition: Definition,
    folder: pathlib.Path,
    split: str,
    say: Callable[[str], object],
    places: Mapping[str, str] | None = None,
) -> dict[str, dict[str, float]]:
    """Evaluates a split, and before it the one that chooses thresholds; the metrics of each row."""
    proposals, refinements = definition.needed(definition.rows)
    stages.check_ready(definition, folder, (*proposals, *refinements))
    holder.check_free(folder)
    trained = stages.open_all(definition, folder, (*proposals, *refinements), places)
    for name, made in trained.items():
        for wanted in (evaluation.CHOOSING, split):
            made.experiment.data.count(wanted)
        _compare_data(name, made)
    of_stages = identity.of_stages(trained)
    networks = {row.name: identity.of_row(definition, row, of_stages) for row in definition.rows}
    key = identity.of_evaluation(definition, of_stages, trained)
    with holder.hold(folder):
        chosen = evaluation.evaluate(definition, folder, trained, evaluation.CHOOSING, key)
        thresholds = {name: row.best_threshold() for name, row in chosen.rows.items()}
        result = chosen
        if split != evaluation.CHOOSING:
            result = evaluation.evaluate(definition, folder, trained, split, key)
        # `segjax predict` takes the folder by what it was evaluated as
        stages.write(definition, folder)
        for one in (chosen, result)[chosen is result :]:
            rows = report.write(folder, definition, one, thresholds, networks)
            for line in report.capped(definition, one):
                say(f"{one.split}: {line}")
        for name in report.outdated(folder, thresholds, networks, {chosen.split, split}):
            say(f"{name}: of other networks or options than these; evaluate that split again")
    return rows


def _compare_data(name: str, made: Trained) -> None:
    found, saved = made.experiment.data.digest, workdir.data_digest(made.folder)
    if saved not in (None, found):
        print(f"segjax: stage {name}: {changed_data(found, saved)}", file=sys.stderr)


def predict(
    definition: Definition,
    folder: pathlib.Path,
    inputs: Sequence[str],
    output: pathlib.Path,
    say: Callable[[str], object],
    places: Mapping[str, str] | None = None,
    truth: pathlib.Path | None = None,
) -> Predicted:
    """Predicts photographs by the row that the pipeline names; one that was done is not again."""
    row = definition.row(definition.predicted)
    proposals, refinements = definition.needed([row])
    names = (*proposals, *refinements)
    predictor = PipelinePredictor(definition, stages.tasks_of(definition, folder, names, places))

    def load() -> int:
        trained = stages.open_all(definition, folder, names, places)
        networks = identity.of_row(definition, row, identity.of_stages(trained))
        threshold, remark = threshold_of(folder, row.name, networks)
        if remark:
            say(remark)
        predictor.take(trained, threshold, networks)
        return max(int(made.state.step) for made in trained.values())

    return predict_with(predictor, inputs, output, load, outputs.EXPLAINED, truth)


def threshold_of(folder: pathlib.Path, row: str, networks: str) -> tuple[float | None, str | None]:
    """The threshold that the validation split chose for a row, or None and why there is none.

    Args:
        folder: of the pipeline.
        row: its name.
        networks: what its map comes from (`identity.of_row`): those of another have another one.
    """
    path = folder / f"metrics_{evaluation.CHOOSING}.json"
    try:
        content = json.loads(path.read_bytes())
        found, of = content["thresholds"].get(row), content["networks"].get(row)
        if found is not None and not (isinstance(found, float) and 0 <= found <= 1):
            raise ValueError(f"thresholds: {row}: {found!r}")
    except FileNotFoundError:
        return None, f"no threshold was chosen for {row}: {ADVICE}"
    except (OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise UserError(f"{path}: damaged: {error}; run `segjax pipeline evaluate`") from error
    if of != networks:
        return None, f"{path}: its threshold of {row} is of other networks or options: {ADVICE}"
    if not found:  # every pixel has a probability of at least 0
        return None, f"{path}: its threshold of {row} is {found or 0:g}, any pixel: 0.5 is taken"
    return found, None


def shown(rows: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> list[str]:
    """A line for each row, with some of its figures."""
    return [
        f"{row}: "
        + ", ".join(
            f"{name} {values[name]:.4f}" if math.isfinite(values[name]) else f"{name} {UNKNOWN}"
            for name in names
        )
        for row, values in rows.items()
    ]

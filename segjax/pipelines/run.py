"""What `segjax pipeline` does: trains, evaluates, predicts."""

import json
import pathlib
from collections.abc import Callable, Mapping, Sequence

from segjax.errors import UserError
from segjax.inference.predict import Predicted, predict_with
from segjax.pipelines import evaluation, report, stages
from segjax.pipelines.definition import Definition
from segjax.pipelines.prediction import PipelinePredictor
from segjax.tasks.lesions import outputs
from segjax.train import holder


def evaluate(
    definition: Definition,
    folder: pathlib.Path,
    split: str,
    say: Callable[[str], object],
    places: Mapping[str, str] | None = None,
) -> dict[str, dict[str, float]]:
    """Evaluates a split, and before it the one that chooses thresholds; the metrics of each row."""
    trained = stages.open_all(definition, folder, places)
    for made in trained.values():
        made.experiment.data.count(split)
    with holder.hold(folder):
        chosen = evaluation.evaluate(definition, folder, trained, evaluation.CHOOSING)
        thresholds = {name: row.best_threshold() for name, row in chosen.rows.items()}
        result = chosen
        if split != evaluation.CHOOSING:
            report.write(folder, definition, evaluation.CHOOSING, chosen, thresholds)
            result = evaluation.evaluate(definition, folder, trained, split)
        rows = report.write(folder, definition, split, result, thresholds)
    for line in _capped(definition, result):
        say(line)
    return rows


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
    trained = stages.open_all(definition, folder, places)
    threshold = threshold_of(folder, definition.predicted)
    if threshold is None:
        say(
            f"no threshold was chosen for {definition.predicted}: 0.5 is taken; "
            "`segjax pipeline evaluate` chooses one on the validation split"
        )
    identity = f"{evaluation.key(definition, trained)} {definition.predicted} {threshold} {truth}"
    predictor = PipelinePredictor(definition, trained, threshold, identity)
    steps = max(int(made.state.step) for made in trained.values())
    done = predict_with(predictor, inputs, output, lambda: steps, outputs.EXPLAINED, truth)
    for line in predictor.said:
        say(line)
    return done


def _capped(definition: Definition, result: evaluation.Result) -> list[str]:
    lines = []
    for name, cost in zip(result.names, result.costs, strict=True):
        for stage in definition.refinements:
            if cost.get(stage, {}).get("left"):
                lines.append(
                    f"{name}: {stage}: {cost[stage]['left']} of {cost[stage]['candidates']} "
                    f"candidates were left out (refine.most_patches={definition.most_patches})"
                )
    return lines


def threshold_of(folder: pathlib.Path, row: str) -> float | None:
    """The threshold that the validation split chose for a row; None where none was chosen."""
    path = folder / f"metrics_{evaluation.CHOOSING}.json"
    try:
        found = json.loads(path.read_bytes())["thresholds"].get(row)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, AttributeError) as error:
        raise UserError(f"{path}: damaged: {error}; run `segjax pipeline evaluate`") from error
    return found if isinstance(found, float) else None


def shown(rows: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> list[str]:
    """A line for each row, with some of its figures."""
    return [
        f"{row}: " + ", ".join(f"{name} {values[name]:.4f}" for name in names)
        for row, values in rows.items()
    ]

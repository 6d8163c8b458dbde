"""Predictions as files: the table of a split, and tables and overlays for a person's own images."""

import csv
import io
import math
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from tqdm import tqdm

from segjax.config import files
from segjax.data.images import read_image
from segjax.errors import UserError
from segjax.train import checkpoint, preflight, workdir
from segjax.train.restore import load_trained

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


def write_table(
    path: pathlib.Path, columns: Sequence[str], names: Sequence[str], rows: np.ndarray
) -> None:
    """A CSV file: `image` and the columns, six digits, unknown values left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", *columns])
    for name, row in zip(names, rows, strict=True):
        writer.writerow([name, *("" if math.isnan(value) else f"{value:.6g}" for value in row)])
    files.write_atomic(path, text.getvalue())


def find_images(inputs: Sequence[str]) -> list[pathlib.Path]:
    """The image files that paths name; folders one level deep, in the order of names."""
    found: list[pathlib.Path] = []
    for text in inputs:
        path = pathlib.Path(text)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
            if not inside:
                raise UserError(f"--input {path}: no image in this folder ({', '.join(SUFFIXES)})")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise UserError(f"--input {path}: no such file or folder")
    return found


def unique_names(paths: Sequence[pathlib.Path]) -> list[str]:
    """A name for each file: its own, with folders in front where two files share one."""
    names = [path.name for path in paths]
    if len(set(names)) == len(names):
        return names
    root = pathlib.Path(os.path.commonpath([path.parent.resolve() for path in paths]))
    return ["__".join(path.resolve().relative_to(root).parts) for path in paths]


def predict(
    folder: pathlib.Path,
    inputs: Sequence[str],
    output: pathlib.Path,
    kind: str,
    places: Mapping[str, str] | None = None,
) -> int:
    """Predicts every image or volume; writes predictions.csv and pictures; how many there were.

    Every image is read before the first is written, so that a bad file costs nothing.
    """
    config = workdir.open_existing(folder, places)
    checkpoint.require(folder, "latest")
    workdir.check_writable(output, "--output")
    if preflight.make_task(config).on_volumes:
        from segjax.train import volume_predictions

        return volume_predictions.predict(load_trained(folder, kind, places=places), inputs, output)
    paths = find_images(inputs)
    quiet = not sys.stderr.isatty()
    for path in tqdm(paths, desc="checking images", disable=quiet):
        read_image(path)
    trained = load_trained(folder, kind, places=places)
    plan = trained.plan
    model = preflight.make_model(plan.config)
    variables = jax.device_get(trained.state.variables)

    @jax.jit
    def apply(image):
        return plan.task.predict(
            model.apply(variables, plan.task.inputs({"image": image}), train=False)
        )

    names, rows = unique_names(paths), []
    for path, name in tqdm(list(zip(paths, names, strict=True)), desc="predicting", disable=quiet):
        image = read_image(path)
        fields = plan.task.unlabelled(image, plan.config.data.image_size)
        predicted = jax.device_get(apply(fields["image"]))
        row = plan.task.rows(predicted, fields, labelled=False)
        single = {key: array[0] for key, array in predicted.items()}
        plan.task.write_pictures(output, name, image, row[0], single)
        rows.append(row)
    write_table(output / "predictions.csv", plan.task.columns(), names, np.concatenate(rows))
    return len(paths)

"""A trained model as files: a function that JAX alone runs, its weights, and a description.

model.stablehlo       image -> logits with the weights inside, made by `jax.export`
weights.safetensors   parameters and batch statistics by name, for `model.apply`
model.json            what goes in and comes out, how it was made, checksums of the other two
"""

import contextlib
import hashlib
import importlib.metadata
import inspect
import json
import pathlib
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import export as jax_export
from ml_collections import ConfigDict

import segjax
from segjax import files
from segjax.errors import UserError
from segjax.inference.open import Trained, load_trained
from segjax.tasks.base import Task
from segjax.train import checkpoint, workdir
from segjax.train.experiment import MISFITS, Experiment

FUNCTION, WEIGHTS, DESCRIPTION = "model.stablehlo", "weights.safetensors", "model.json"
PLATFORMS = ("cpu", "cuda", "tpu")
# Of the logits, by their number.
AXES = {2: "batch, outputs", 4: "batch, height, width, outputs"}
COLLECTIONS = ("params", "batch_stats")
LIBRARIES = ("jax", "jaxlib", "flax", "numpy", "safetensors")
# Files are complete here before the first of them takes its place.
STAGE = ".export-"


def export(
    folder: pathlib.Path,
    output: pathlib.Path,
    kind: str = "best",
    places: Mapping[str, str] | None = None,
) -> list[pathlib.Path]:
    """Writes the three files of a trained work folder; an earlier export of the same run gives way.

    The function is that of evaluation (running batch statistics), in the config's precision, for
    every platform of `PLATFORMS` and any batch size. A model that needs to know its batch size is
    written for single images, and model.json says so.

    Args:
        folder: a trained work folder.
        output: a new or empty folder, or one that holds an export of this run.
        kind: 'best', or 'latest', which also stands in where no best was kept.
        places: a `data_dir` or `cache_dir` in place of the saved ones.

    Returns: the paths of the three files.
    Raises: UserError for a folder without checkpoint, an output that is occupied or cannot be
        written, or a model that cannot be exported, such as one that calls back into Python.
    Cost: a trace of the model for each platform; the weights are written twice.
    """
    workdir.open_existing(folder)  # says what is wrong with it
    run = _digest((folder / workdir.CONFIG).read_bytes())
    if not checkpoint.has_any(folder, "best"):
        kind = "latest"
    checkpoint.require(folder, kind)
    # Before the checkpoint is read and the model traced
    _check_output(output, run)
    trained = load_trained(folder, kind, places=places)
    variables = jax.device_get(trained.state.variables)
    exported, why = _exported(trained.experiment, variables)
    made = {"run": run, "checkpoint": kind, "step": int(trained.state.step)}
    contents = {
        FUNCTION: bytes(exported.serialize()),
        WEIGHTS: _pack(variables, trained.experiment.config, made["step"]),
    }
    description = made | _describe(trained, exported, why) | {"files": _entries(contents)}
    text = json.dumps(description, indent=2) + "\n"
    # The description first: when the process is killed between two renames, the files disagree with
    # their checksums, loading refuses them, and the same command mends them.
    files.write_together(output, {DESCRIPTION: text.encode()} | contents, stage=STAGE)
    return [output / name for name in (FUNCTION, WEIGHTS, DESCRIPTION)]


def load_function(path: str | pathlib.Path) -> Callable[[Any], jax.Array]:
    """The exported function, image [b, h, w, c] -> logits [b, ..., k], compiled per batch size.

    Args:
        path: the folder of an export, whose checksums are then compared, or a model.stablehlo.

    Raises: UserError when the file is missing, damaged or something else.
    """
    content = _read(path, FUNCTION)
    try:
        exported = jax_export.deserialize(bytearray(content))
    except ImportError:  # flatbuffers, which JAX reads its own files with, is not installed
        raise
    except Exception as error:  # A damaged file raises whatever its first bad byte leads to.
        raise UserError(f"{path}: not a function that jax.export wrote ({_line(error)})") from error
    return jax.jit(exported.call)


def load_weights(path: str | pathlib.Path) -> dict[str, dict]:
    """The exported variables {'params': ..., 'batch_stats': ...}, NumPy arrays, for `model.apply`.

    Args:
        path: the folder of an export, whose checksums are then compared, or a .safetensors file.

    Raises: UserError when the file is missing, damaged or something else.
    """
    content = _read(path, WEIGHTS)
    try:
        flat = safetensors.numpy.load(content)
    except safetensors.SafetensorError as error:
        raise UserError(f"{path}: not a safetensors file ({_line(error)})") from error
    return {name: {} for name in COLLECTIONS} | unflatten_dict(flat, sep="/")


# --- the two artefacts ----------------------------------------------------------------------------


def _exported(experiment: Experiment, variables: Mapping) -> tuple[jax_export.Exported, str | None]:
    """The exported forward pass; the reason when it takes single images only."""
    model = experiment.model

    @jax.jit
    def forward(image):
        outputs = model.apply(variables, image, train=False)
        # Whatever the precision inside: a reader has float32 in and out
        return jnp.asarray(outputs["logits"], jnp.float32)

    def lowered(batch) -> jax_export.Exported:
        image = jax.ShapeDtypeStruct((batch, *experiment.image_shape), jnp.float32)
        with _without_source_paths():
            return jax_export.export(forward, platforms=PLATFORMS)(image)

    try:
        return lowered(*jax_export.symbolic_shape("b")), None
    except Exception as error:  # Every operation has its own way to refuse an unknown size.
        why = _line(error)
    try:
        return lowered(1), why
    except (NotImplementedError, *MISFITS) as error:
        name = experiment.config.model.name
        raise UserError(
            f"config.model.name={name!r}: cannot be exported: {_line(error)}"
        ) from error


@contextlib.contextmanager
def _without_source_paths() -> Iterator[None]:
    """Leaves the paths of source files, which are this machine's, out of what is lowered."""
    name = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, name)
    jax.config.update(name, 0)
    try:
        yield
    finally:
        jax.config.update(name, before)


def _pack(variables: Mapping, config: ConfigDict, step: int) -> bytes:
    # safetensors writes an array's memory as it lies: the order has to be C's.
    flat = flatten_dict(variables, sep="/")
    arrays = {name: np.asarray(value, order="C") for name, value in flat.items()}
    name, options = _model(config)
    metadata = {"model": name, "options": json.dumps(options)}
    metadata |= {"segjax": segjax.__version__, "step": str(step)}
    return _in_order(safetensors.numpy.save(arrays, metadata))


def _in_order(content: bytes) -> bytes:
    """A safetensors file with its metadata sorted, which stand in another order at every saving.

    Two exports of one checkpoint are equal byte for byte then.
    """
    # The format: eight bytes with the length of the header, the header as JSON, the arrays
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the arrays begin at a multiple of eight bytes
    return len(text).to_bytes(8, "little") + text + content[start:]


# --- the description ------------------------------------------------------------------------------


def _describe(trained: Trained, exported: jax_export.Exported, why: str | None) -> dict[str, Any]:
    """What a user needs to use the files, without the checksums."""
    config, task = trained.experiment.config, trained.experiment.task
    name, options = _model(config)
    (image,), (logits,) = exported.in_avals, exported.out_avals
    return {
        "input": {
            "name": "image",
            "shape": _shape(image.shape),
            "dtype": str(image.dtype),
            "axes": "batch, height, width, channels",
            "meaning": _summary(task.inputs),
        },
        "output": {
            "name": "logits",
            "shape": _shape(logits.shape),
            "dtype": str(logits.dtype),
            "axes": AXES[logits.ndim] if logits.ndim in AXES else "batch first, outputs last",
            "meaning": "raw values, before any sigmoid or softmax",
            **_reading(task),
        },
        "batch": "any size" if why is None else f"single images, because of the model: {why}",
        "model": {"name": name, "options": options, "dtype": config.dtype},
        "parameters": trained.experiment.parameters,
        "task": {
            "name": config.task,
            "meaning": _summary(task),
            "options": config.task_options.to_dict(),
        },
        "platforms": list(exported.platforms),
        "versions": {
            "segjax": segjax.__version__,
            "python": platform.python_version(),
            **{library: importlib.metadata.version(library) for library in LIBRARIES},
            "jax.export calling convention": exported.calling_convention_version,
        },
    }


def _reading(task: Task) -> dict[str, Any]:
    """How the task reads logits, and the names of classes where it has any."""
    reading = {"prediction": _summary(task.predict)}
    return reading | ({"classes": ["background", *task.classes]} if task.classes else {})


def _model(config: ConfigDict) -> tuple[str, dict[str, Any]]:
    """The model's name and its options, from which it is built again."""
    options = config.model.to_dict()
    return options.pop("name"), options


def _shape(shape: Sequence[Any]) -> list[int | str]:
    return [str(size) if jax_export.is_symbolic_dim(size) else int(size) for size in shape]


def _summary(documented: Any) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(documented) or "").split("\n\n")[0].split())


def _entries(contents: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    return {name: {"bytes": len(data), "sha256": _digest(data)} for name, data in contents.items()}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


# --- folders --------------------------------------------------------------------------------------


def _check_output(output: pathlib.Path, run: str) -> None:
    """UserError unless `output` is new, empty, or an earlier export of this run."""
    if output.exists() and not output.is_dir():
        raise UserError(f"--output {output}: is a file, not a folder")
    workdir.check_writable(output, "--output")
    if not output.is_dir():
        return
    # What a killed export left in its stage is no file of anybody else's
    names = sorted(path.name for path in output.iterdir() if not path.name.startswith(STAGE))
    # Only with the description: files of these names alone may be someone's own
    ours = (FUNCTION, WEIGHTS, DESCRIPTION) if DESCRIPTION in names else ()
    if others := [name for name in names if name not in ours]:
        raise UserError(f"--output {output}: holds other files ({others[0]}); take another folder")
    if ours and _description(output)["run"] != run:
        raise UserError(f"--output {output}: holds the export of another run; take another folder")


def _read(path: str | pathlib.Path, name: str) -> bytes:
    """The content of a file of an export; UserError unless it is there, and as described."""
    path = pathlib.Path(path)
    file = path / name if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"{file}: no such file")
    content = file.read_bytes()
    if path.is_dir() and _description(path)["files"][name]["sha256"] != _digest(content):
        raise UserError(f"{file}: damaged: not the file that {DESCRIPTION} describes; export again")
    return content


def _description(folder: pathlib.Path) -> dict[str, Any]:
    file = folder / DESCRIPTION
    if not file.is_file():
        raise UserError(f"{file}: no such file")
    try:
        content = json.loads(file.read_text())
        digests = [content["files"][name]["sha256"] for name in (FUNCTION, WEIGHTS)]
        if not all(isinstance(text, str) for text in (content["run"], *digests)):
            raise ValueError("not the description of an export")
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"{file}: damaged: {_line(error)}") from error
    return content

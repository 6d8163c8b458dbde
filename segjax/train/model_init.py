"""Parameters to begin with, in place of random ones: `config.model_init`.

    model_init = "work/idrid"            the best checkpoint of another run
    model_init = "export/"               an export, or a file weights.safetensors of one
    model_init = "cyto2torch_0"          weights that cellpose has published (the extra `torch`)

Arrays are taken by name where their shapes agree; the others, as a head of another number of
outputs, stay random, and a line says which.
"""

import hashlib
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy
from flax.traverse_util import flatten_dict, unflatten_dict

from segjax.errors import UserError
from segjax.train import checkpoint, workdir
from segjax.train.state import State

WEIGHTS = "weights.safetensors"  # of an export
PATH = "config.model_init"
TORCH_FILES = (b"PK\x03\x04", b"\x80")  # how they begin: a zip file, or once a pickle
SHOWN = 3  # names of arrays in a message


def read(text: str) -> dict[str, np.ndarray]:
    """Arrays by name, `params/…` and those of other collections; UserError where there are none."""
    path = pathlib.Path(text)
    if not path.exists():
        raise UserError(f"{PATH}={text!r}: no such file or folder")
    if path.is_dir() and (path / workdir.CONFIG).exists():
        kind = "best" if checkpoint.has_any(path, "best") else "latest"
        try:
            return checkpoint.read_variables(path, kind)
        except UserError as error:
            raise UserError(f"{PATH}={text!r}: {error}") from error
    file = path / WEIGHTS if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"{PATH}={text!r}: neither a work folder nor an export, nor a file")
    if file.suffix == ".safetensors":
        try:
            return safetensors.numpy.load_file(file)
        except (OSError, safetensors.SafetensorError) as error:
            raise UserError(f"{PATH}={text!r}: {file}: not a safetensors file: {error}") from error
    return _published(text, file)


def _published(text: str, path: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of a file that cellpose has published."""
    from segjax.models import cellpose

    try:
        with path.open("rb") as stream:
            begins = stream.read(4)
    except OSError as error:
        raise UserError(f"{PATH}={text!r}: cannot be read: {error}") from error
    # Before PyTorch is asked for, which other files do not need
    if not begins.startswith(TORCH_FILES):
        raise UserError(f"{PATH}={text!r}: holds no weights: neither .safetensors nor PyTorch's")
    try:
        variables = cellpose.from_state_dict(cellpose.load_torch_weights(path))
    except (ImportError, ValueError, UserError) as error:
        raise UserError(f"{PATH}={text!r}: {error}") from error
    return flatten_dict(variables, sep="/")


def fitting(
    text: str, arrays: Mapping[str, np.ndarray], shapes: State
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays that a state takes, and the names of those of the state that stay as they are.

    Raises: UserError where no parameter fits.
    """
    wanted = flatten_dict(shapes.variables, sep="/")
    taken = {
        name: np.asarray(arrays[name])
        for name, leaf in wanted.items()
        if name in arrays and np.shape(arrays[name]) == leaf.shape
    }
    if not any(name.startswith("params/") for name in taken):
        raise UserError(
            f"{PATH}={text!r}: none of its {len(arrays)} arrays has name and shape of one of the "
            f"model's ({', '.join(list(wanted)[:SHOWN])}, …)"
        )
    return taken, [name for name in wanted if name not in taken]


def check(text: str, shapes: State) -> None:
    """UserError unless a state can begin with it; says how many arrays do, and which do not."""
    if not text:
        return
    arrays = read(text)
    taken, left = fitting(text, arrays, shapes)
    if jax.process_index() == 0:
        more = f" and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
        rest = f"; {', '.join(left[:SHOWN])}{more} begin at random" if left else ""
        unused = len(arrays) - len(taken)
        rest += f"; {unused} arrays of the file are not used" if unused else ""
        print(
            f"segjax: {PATH}: {len(taken)} of the model's {len(taken) + len(left)} arrays begin "
            f"as in {text}{rest}",
            file=sys.stderr,
        )


def applied(text: str, state: State) -> State:
    """A state at step 0, on the host, with the arrays that fit."""
    if not text:
        return state
    taken, _ = fitting(text, read(text), state)
    found: dict[str, Any] = flatten_dict(state.variables, sep="/")
    found |= {name: array.astype(found[name].dtype) for name, array in taken.items()}
    # Collections without an array vanish from a flat dict, but belong to the state
    variables = {**dict.fromkeys(state.variables, {}), **unflatten_dict(found, sep="/")}
    return state.replace(params=variables.pop("params"), collections=variables)


def digest(text: str) -> str | None:
    """A hash of the arrays, to be kept with the run."""
    if not text:
        return None
    whole = hashlib.sha256()
    for name, array in sorted(read(text).items()):
        whole.update(f"{name} {array.dtype.name}{list(array.shape)}\n".encode())
        whole.update(np.ascontiguousarray(array).tobytes())
    return whole.hexdigest()

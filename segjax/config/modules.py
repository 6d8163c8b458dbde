"""The user's own Python: experiment files, and the modules that these and configs name.

They are found in the experiment file's folder, in the folder that holds `experiments` where the
file lies in one, and in the current folder, in this order, by every verb: before installed
packages, after Python's own. Nothing is written beside them. One experiment folder is in use at a
time: those that were imported from another one are forgotten, so that files of the same name never
stand in for one another.
"""

import ast
import contextlib
import hashlib
import importlib
import pathlib
import sys
import sysconfig
import traceback
from importlib import machinery, util
from types import ModuleType

from segjax.errors import UserError

# Libraries lie here, which may be below a folder of the user's: their bytecode is kept.
LIBRARIES = {
    pathlib.Path(__file__).resolve().parents[1],
    *(
        pathlib.Path(sysconfig.get_path(kind)).resolve()
        for kind in ("stdlib", "purelib", "platlib")
    ),
}


EXPERIMENT = "experiment "


class _Loader(machinery.SourceFileLoader):
    """Runs a source file without leaving its bytecode in a folder of the user's."""

    # SourceFileLoader calls this to cache bytecode in `__pycache__`
    def set_data(self, path, data, **unused) -> None:
        """Would write the bytecode."""


class _Folder(machinery.FileFinder):
    """A folder of the user's; a file named as a module of Python's does not hide that one."""

    def find_spec(self, fullname, target=None):
        # The user's folders stand at the head of sys.path, before Python's own modules
        if fullname in sys.stdlib_module_names:
            return None
        return super().find_spec(fullname, target)


class _Entry(str):
    """A folder that was put into `sys.path` here: known again, whoever has copied the list since.

    Someone may put an earlier copy of it back, as pytest's `monkeypatch` and notebooks do.
    """

    def __reduce__(self):
        # Processes that multiprocessing starts get sys.path before they can import this module
        return str, (str(self),)


class _Search:
    """What the process has in use: the experiment file, and what it added to `sys.path`."""

    def __init__(self):
        self.file: pathlib.Path | None = None
        self.entries: list[str] = []

    def hook(self, text: str) -> _Folder:
        """A path hook (see `sys.path_hooks`) for the folders of the user."""
        # '' stands for the current folder in sys.path
        path = pathlib.Path(text or ".").resolve()
        if not path.is_dir() or not self._own(path):
            # What a hook raises for a path that is not its own; the next hook is asked then
            raise ImportError(f"not a folder of the user's: {text}")
        kinds = [(_Loader, machinery.SOURCE_SUFFIXES)]
        kinds.append((machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES))
        return _Folder(str(path), *kinds)

    def _own(self, path: pathlib.Path) -> bool:
        above = {path, *path.parents}
        return not above & LIBRARIES and bool(above & {pathlib.Path(e) for e in self.entries})

    def enter(self, file: pathlib.Path | None) -> None:
        """Looks from now on beside this experiment file, and in the current folder."""
        self.file = file
        before, self.entries = self.entries, [str(path) for path in _folders(file)]
        there = [entry for entry in sys.path if isinstance(entry, _Entry)]
        if before == there == self.entries and self.hook in sys.path_hooks:
            return
        # Entries of the experiment before are taken out again: sys.path would grow, and its modules
        # go on being found.
        if not before == there == self.entries:
            others = [entry for entry in sys.path if not isinstance(entry, _Entry)]
            sys.path[:] = [*map(_Entry, self.entries), *others]
            _forget_others(self.entries)
        if self.hook not in sys.path_hooks:
            sys.path_hooks.insert(0, self.hook)
        # Python keeps the finder of each path, also one that was made before the hook was there
        for text in list(sys.path_importer_cache):
            # By its beginning first: hundreds are of installed packages, at every call
            if text.startswith(tuple(self.entries)) and self._own(pathlib.Path(text)):
                del sys.path_importer_cache[text]


_search = _Search()
enter = _search.enter


def file_in_use() -> pathlib.Path | None:
    """The experiment file in whose folder modules are looked for, resolved; None without one."""
    return _search.file


def places() -> str:
    """Where the user's modules are looked for, in words."""
    looked = f"looked in {', '.join(_search.entries)} and among installed packages"
    file = _search.file
    gone = file is not None and not file.parent.is_dir()
    return f"{looked}; the experiment's folder {file.parent} is gone" if gone else looked


def _folders(file: pathlib.Path | None) -> list[pathlib.Path]:
    """The folders to look in; of an experiment file's only those that still exist."""
    found = []
    if file is not None:
        above = file.parents
        found += [above[0], *(path.parent for path in above if path.name == "experiments")]
    with contextlib.suppress(FileNotFoundError):  # the current folder was deleted
        found.append(pathlib.Path.cwd())
    return list(dict.fromkeys(path for path in found if path.is_dir()))


def _forget_others(folders: list[str]) -> None:
    """Forgets the user's modules that would be found elsewhere in these folders, or not at all."""
    for name, module in list(sys.modules.items()):
        specification = getattr(module, "__spec__", None)
        if specification is None or not isinstance(specification.loader, _Loader):
            continue
        if name.startswith(EXPERIMENT):
            continue
        depth = name.count(".") + (specification.submodule_search_locations is not None)
        folder = str(pathlib.Path(specification.origin).parents[depth])
        top = name.partition(".")[0]
        if folder != next((place for place in folders if _holds(place, top)), None):
            del sys.modules[name]
            parent, _, own = name.rpartition(".")
            if getattr(sys.modules.get(parent), own, None) is module:
                delattr(sys.modules[parent], own)


def _holds(folder: str, name: str) -> bool:
    """Whether a folder has a module or package of this name."""
    place = pathlib.Path(folder) / name
    return place.is_dir() or place.with_suffix(".py").is_file()


def load(path: pathlib.Path) -> ModuleType:
    """Runs an experiment file and takes it into use; UserError if it is missing or broken."""
    if not path.is_file():
        raise UserError(f"--config {path}: no such file")
    if path.suffix != ".py":
        raise UserError(f"--config {path}: an experiment file is a Python file (*.py)")
    file = path.resolve()
    enter(file)
    # One name for one file, which no import has: dataclasses look a class's module up by it.
    name = EXPERIMENT + hashlib.sha256(str(file).encode()).hexdigest()[:16]
    loader = _Loader(name, str(path))
    module = util.module_from_spec(util.spec_from_file_location(name, path, loader=loader))
    # Before it runs, as Python's own import does: its dataclasses look it up while they are made
    sys.modules[name] = module
    try:
        call(str(path), path, loader.exec_module, module)
    except UserError:
        del sys.modules[name]
        raise
    return module


def call(text: str, path: pathlib.Path, function, *arguments):
    """What a function of an experiment file gives; UserError in one line for whatever it raises."""
    try:
        return function(*arguments)
    except UserError:
        raise
    # SystemExit, for a `sys.exit` in an experiment file would end the command without a word
    except (Exception, SystemExit) as error:
        raise failed(f"--config {text}", path, error) from error


def failed(where: str, path: pathlib.Path, error: BaseException) -> UserError:
    """An exception of the user's code as one line, with the place in the file `path`."""
    frames = traceback.extract_tb(error.__traceback__)
    # The last frame in the user's file, not the one in a library that raised
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    place = f" (line {lines[-1]})" if lines else ""
    # str() of a KeyError is the repr of its message.
    message = " ".join(str(error.args[0] if isinstance(error, KeyError) else error).split())
    # ml_collections wraps a KeyError, whose message is a repr: without its quotes and escapes
    if message[:1] == message[-1:] and message[:1] in ("'", '"'):
        with contextlib.suppress(SyntaxError, ValueError):
            message = " ".join(str(ast.literal_eval(message)).split())
    if isinstance(error, SystemExit):
        return UserError(f"{where}: ends the program: sys.exit({message}){place}")
    return UserError(f"{where}: {type(error).__name__}: {message}{place}")


def find(name: str, where: str) -> object:
    """`package.module:attribute` of the user's or of an installed package; UserError in one line.

    `where` stands at the head of the message: the field of the config and its value.
    """
    module_name, _, attribute = name.partition(":")
    if not _search.entries:
        enter(None)
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (Exception, SystemExit) as error:
        message = f"{where}cannot import it: {type(error).__name__}: {error}"
        # Only where the package itself is missing: one that it imports is not looked for in our
        # places
        if isinstance(error, ModuleNotFoundError) and error.name == module_name.partition(".")[0]:
            message += f" ({places()})"
        raise UserError(message) from error

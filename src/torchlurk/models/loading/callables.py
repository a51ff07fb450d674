"""What the user's own code builds: models by `FILE.py:CALLABLE` and `package.module:CALLABLE`, data sets by the former."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from torch import nn

from torchlurk.errors import DataError, MissingExtraError, ModelError, TorchlurkError, a_type, nearest
from torchlurk.models.loading.extras import with_torchvision
from torchlurk.models.loading.files import named_file

_PAIR = 2

OF_A_FILE = "_torchlurk_"
"""What the names of modules begin with that were made of a file."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a callable is to return, in words, and which error says that it does not."""

    what: str
    error: type[TorchlurkError]


MODEL, DATA_SET = Wanted("the model", ModelError), Wanted("the data set", DataError)


def build(spec: str) -> tuple[nn.Module, object]:
    """The module that the callable of `spec` returns, and the preprocessing that it returns with it (None without).

    A module class is instantiated, a module instance taken as it is. The file's folder, or the current one for a package,
    can be imported from while this runs and not after. Raises `ModelError`, with the line in the user's code where that
    fails.
    """
    return _pair(_made(spec, named_file(spec), MODEL, lambda target: isinstance(target, nn.Module)), spec)


def data_set(spec: str, file: Path) -> object:
    """The data set that a callable of the file returns; what cannot be called is one itself.

    Raises `DataError`, with the line in the user's code where that fails.
    """
    return _made(spec, file, DATA_SET, lambda target: not callable(target))


def _made(spec: str, file: Path | None, wanted: Wanted, is_it: Callable[[object], bool]) -> object:
    """What the name in `spec` stands for, or what it returns when it is called."""
    place, _, name = spec.rpartition(":")
    folder = file.resolve().parent if file else Path.cwd()
    with _importable(folder), _explained(spec, folder, wanted):
        code = with_torchvision(lambda: _run(file.resolve()) if file else importlib.import_module(place))
        target = _named(code, name, place, wanted)
        return target if is_it(target) else with_torchvision(_without_arguments(target, spec, wanted))


def modules_of_files() -> list[ModuleType]:
    """The modules made of files so far, which another process cannot import."""
    return [module for name, module in list(sys.modules.items()) if name.startswith(OF_A_FILE)]


def _run(file: Path) -> ModuleType:
    """The file as a module, under a name of its own, so that it hides no other module and none hides it."""
    name = f"{OF_A_FILE}{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    plan = importlib.util.spec_from_file_location(name, file)
    # A .py file always has a loader.
    assert plan is not None
    assert plan.loader is not None
    module = importlib.util.module_from_spec(plan)
    # Dataclasses look their module up by its name.
    sys.modules[name] = module
    try:
        plan.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Modules in the folder can be imported; those of a model file are forgotten again, for the next file may have
    others of the same names beside it.
    """
    before = set(sys.modules)
    entry = str(folder)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)
        for name in set(sys.modules) - before:
            origin = getattr(sys.modules[name], "__file__", None)
            if origin and not name.startswith(OF_A_FILE) and Path(origin).parent == folder:
                del sys.modules[name]


@contextmanager
def _explained(spec: str, folder: Path, wanted: Wanted) -> Iterator[None]:
    """Turns whatever the user's code raises into one line that says where in it."""
    try:
        yield
    except (ModelError, DataError, MissingExtraError):
        raise
    except ModuleNotFoundError as error:
        place = spec.rpartition(":")[0]
        if error.name and (place == error.name or place.startswith(f"{error.name}.")):
            raise wanted.error(
                f"there is no module '{error.name}' for '{spec}'", "run in the folder that holds it, or install it"
            ) from error
        raise _failure(spec, folder, error, wanted) from error
    # User code can raise anything, and may end with sys.exit where it expects to be run as a program.
    except (Exception, SystemExit) as error:
        raise _failure(spec, folder, error, wanted) from error


def _failure(spec: str, folder: Path, error: BaseException, wanted: Wanted) -> TorchlurkError:
    text = str(error).strip().splitlines()
    said = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
    if isinstance(error, SyntaxError):
        # Python does not say where in a file of bytes that are no text.
        where: tuple[str, int | None] = error.filename or spec.rpartition(":")[0], error.lineno or 1
        said = f"{type(error).__name__}: {error.msg}"
    else:
        frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
        own = [frame for frame in frames if folder in Path(frame[0]).parents and not _is_foreign(frame[0])]
        where = (own or frames)[-1]
    return wanted.error(f"'{spec}' failed at {where[0]} line {where[1]}: {said}", "fix the code there, or its arguments")


def _is_foreign(file: str) -> bool:
    """Whether a file is of this module or of an installed library, which may lie in the user's folder too."""
    return file == __file__ or "site-packages" in Path(file).parts


def _named(code: ModuleType, name: str, place: str, wanted: Wanted) -> object:
    if not hasattr(code, name):
        public = [key for key, value in vars(code).items() if callable(value) and not key.startswith("_")]
        own = [key for key in public if getattr(vars(code)[key], "__module__", None) == code.__name__]
        close = nearest(name, public) or (f"; it has: {', '.join(own)}" if own else "")
        raise wanted.error(f"there is no '{name}' in {place}{close}", f"name a function that returns {wanted.what}")
    found: object = getattr(code, name)
    return found


def _without_arguments(target: object, spec: str, wanted: Wanted) -> Callable[[], object]:
    if not callable(target):
        raise wanted.error(f"'{spec}' is {a_type(target)}, not a function", f"name a function that returns {wanted.what}")
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):  # compiled callables may have no signature: the call will tell
        return target
    needed = [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if needed:
        raise wanted.error(f"'{spec}' needs arguments: {', '.join(needed)}", "write a function without arguments that calls it")
    return target


def _pair(returned: object, spec: str) -> tuple[nn.Module, object]:
    if isinstance(returned, nn.Module):
        return returned, None
    if isinstance(returned, tuple) and len(returned) == _PAIR and isinstance(returned[0], nn.Module):
        return returned[0], returned[1]
    kinds = f"({', '.join(type(one).__name__ for one in returned)})" if isinstance(returned, tuple) else type(returned).__name__
    raise ModelError(f"'{spec}' returned {kinds}", "it must return a torch.nn.Module, or (module, preprocessing)")

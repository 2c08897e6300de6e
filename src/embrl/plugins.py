"""Code from outside the package, which registers things when it is imported.

Plugins are files or modules that somebody named (`embrl --plugin`), and the entry points of
installed packages in the group `embrl.plugins`. Nothing else is ever imported: a run folder holds
names, no code.
"""

import importlib
import importlib.util
import sys
import traceback
import zlib
from pathlib import Path

from embrl.errors import EmbrlError

GROUP = "embrl.plugins"


class _NotThereError(EmbrlError):
    """No plugin's own fault."""


_failures: list[str] | None = None
"""None until the installed plugins have been loaded."""


def load(source: str) -> None:
    """Imports the plugin `source`: a file, if it ends in .py or has a folder in it, else a module.

    Raises:
        EmbrlError: there is none, or it raised something; the message says where.
    """
    try:
        if source.endswith(".py") or "/" in source or "\\" in source:
            _run_file(Path(source))
        else:
            _import_module(source)
    except _NotThereError:
        raise
    except (Exception, SystemExit) as error:
        # A file is called what it was called on the command line.
        said = _said(error).removeprefix(str(Path(source).resolve()))
        between = "" if said.startswith(" line ") else ": "
        raise EmbrlError(f"plugin {source}{between}{said}") from error


def load_installed() -> tuple[str, ...]:
    """Imports the plugins of installed packages, the first time that it is called.

    That is when a name is asked for that embrl does not have, so that neither `embrl --help` nor a
    run without plugins waits for them, and a broken one breaks nothing that does without it.

    **Returns** a sentence on each of those that failed.
    """
    global _failures
    if _failures is None:
        from importlib.metadata import entry_points  # not for `embrl --help`

        _failures = []  # at once: a plugin may itself ask for a name
        for point in entry_points(group=GROUP):
            try:
                point.load()
            except (Exception, SystemExit) as error:
                _failures.append(f"(The installed plugin {point.name} failed: {_said(error)})")
    return tuple(_failures)


def _run_file(path: Path) -> None:
    path = path.resolve()
    if not path.is_file():
        raise _NotThereError(f"there is no plugin file {path}")
    # In sys.modules, where dataclasses look for the meaning of their types; under a name that no
    # other module has.
    name = f"embrl_plugin_{path.stem}_{zlib.crc32(bytes(path)):08x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise _NotThereError(f"plugin {path}: a file's name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _import_module(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # it is there, and lacks another
        hint = f"did you mean {name}.py?" if Path(f"{name}.py").is_file() else "a file ends in .py"
        raise _NotThereError(f"there is no plugin module {name}: {hint}") from error


def _said(error: BaseException) -> str:
    """What went wrong in a plugin, and in which line of it."""
    said = str(error) if isinstance(error, EmbrlError) else f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f"{error.filename} line {error.lineno}: {type(error).__name__}: {error.msg}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__
        and not frame.filename.startswith("<frozen importlib")
        and "importlib" not in Path(frame.filename).parts[-3:]
    ]
    if not frames:
        return said
    # The first file is the plugin; where it went on to others, its own last line is of interest.
    file = frames[0].filename
    line = [frame.lineno for frame in frames if frame.filename == file][-1]
    return f"{file} line {line}: {said}"

"""The script of this program, which a new process runs again to find what it defines."""

import ast
import multiprocessing
import os
import sys
from pathlib import Path

from embrl.core.errors import SettingError

ADVICE = 'put what the script does below if __name__ == "__main__":, or choose sync'


def check_guarded() -> None:
    """Check that a new process can run the script again without starting processes itself.

    Raises:
        SettingError: The script does everything at its top level.
    """
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    if path is None:  # a notebook, or python -c
        return
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError):  # it cannot be read, so nothing runs it again
        return
    tests = [node.test for node in ast.walk(tree) if isinstance(node, ast.If)]
    names = [node for test in tests for node in ast.walk(test) if isinstance(node, ast.Name)]
    if not any(node.id == "__name__" for node in names):
        raise SettingError(
            "vector",
            "sync or threads in a script that a new process would run again from its first line",
            f"async in {path}",
            ADVICE,
        )


def leave_if_run_again() -> None:
    """End this process if it is a new one that runs the script, in which processes are started.

    Quietly: its parent, which waits for it in vain, says what to do.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        sys.stdout.flush()
        os._exit(1)

"""Choice of the executor."""

from typing import TYPE_CHECKING

from embrl.core.errors import require
from embrl.executors.local import LocalExecutor
from embrl.executors.options import ExecutorOptions
from embrl.executors.supervisor import Supervisor
from embrl.executors.tasks import Executor

if TYPE_CHECKING:
    from rich.console import Console


def make_executor(options: ExecutorOptions, console: "Console | None" = None) -> Executor:
    """Return the executor that options describe; nothing is started before it runs tasks.

    Args:
        options: the options.
        console: where to show progress; None: nowhere.

    Raises:
        SettingError: an option is wrong.
        EmbrlError: Ray is asked for and not installed.
    """
    options.validate()
    if options.executor == "local":
        return LocalExecutor(options.retries, console)
    if options.executor == "processes":
        from embrl.executors.processes import ProcessPool as Pool
    else:
        require("ray", "ray")
        from embrl.executors.ray_pool import RayPool as Pool
    return Supervisor(lambda count, say: Pool(options, count, say), options.retries, console)

"""Settings of a run whose environment is an object, which no file can describe."""

import dataclasses
from typing import ClassVar, NoReturn

from embrl.core.errors import EmbrlError
from embrl.envs.host.environment import HostEnvironment

PREFIX = "object:"
"""What such environments' names begin with."""


@dataclasses.dataclass(frozen=True)
class ObjectConfig:
    """What is known of such an environment without it. The object itself is handed over beside the
    configuration.
    """

    host: ClassVar[bool] = True
    """Tells such settings from those of compiled environments (`embrl.envs.is_host`)."""

    name: str = ""
    """Of the object: Gymnasium's id, or that of its class or function."""
    continuous_actions: bool = False
    """Whether actions are vectors, not indices."""

    @classmethod
    def of(cls, environment: HostEnvironment) -> "ObjectConfig":
        """The settings of this one."""
        return cls(environment.name, environment.continuous_actions)

    def build(self) -> NoReturn:
        """
        Raises:
            EmbrlError: always.
        """
        which = f" ({self.name})" if self.name else ""
        raise EmbrlError(
            f"the environment is an object in Python{which}, which no name brings back: pass it, "
            "as in embrl.train(environment, out=RUN, resume=True) or embrl.play(RUN, "
            "environment=environment)"
        )

"""What a person calls a source, as an `Origin`."""

from pathlib import Path
from typing import Any

import gymnasium

from embrl import envs
from embrl.data.sources import UNSAID, Given, Recorded, from_transition, looks_recorded, read
from embrl.data.sources.playing import Behaviour
from embrl.envs import ENVIRONMENTS, Environment
from embrl.envs.host import HostEnvironment, ObjectConfig
from embrl.envs.host.objects import PREFIX
from embrl.errors import EmbrlError
from embrl.fitting.origin import Data, Origin, Played
from embrl.fitting.run_policy import RunPolicy
from embrl.spaces import is_continuous
from embrl.types import Transition


def origin(
    source: Any,
    given: Given = UNSAID,
    policy: Behaviour | str | Path | None = None,
    options: dict[str, Any] | None = None,
) -> Origin:
    """
    Arguments:
        source: what `embrl.fit` takes.
        given: spaces, of recorded transitions.
        policy: who acts in an environment: a function, or a run's folder; None: chance.
        options: the environment's, of one that has a name.

    Raises:
        EmbrlError: there is no such source, or what it has cannot be used; the message says why.
    """
    if isinstance(source, Transition | Recorded) or is_recorded(source):
        for name, told in (("policy", policy), ("options", options)):
            if told:
                raise EmbrlError(f"{name}: the transitions are recorded: leave it out")
        if isinstance(source, Recorded):
            return Data(source)
        if isinstance(source, Transition):
            return Data(from_transition(source, given))
        return Data(read(source, given))
    if given != UNSAID:
        raise EmbrlError("spaces are given for recorded transitions: an environment has its own")
    found = _environment(source, options or {})
    if policy is None:
        return found
    who = policy if callable(policy) else RunPolicy.of(policy)
    if isinstance(who, RunPolicy):
        who.check(found.env)
    return Played(found.name, found.env_config, found.env, who)


def is_recorded(source: Any) -> bool:
    """Whether a name or path is that of a file or data set."""
    if isinstance(source, str) and source in ENVIRONMENTS:
        return False
    return isinstance(source, str | Path) and looks_recorded(source)


def _environment(source: Any, options: dict[str, Any]) -> Played:
    if isinstance(source, str):
        settings = envs.configure(source, **options)
        return Played(source, settings, settings.build())
    if options:
        raise EmbrlError(
            f"{', '.join(options)}: the environment is an object, its options are set where it is "
            "made"
        )
    if isinstance(source, Environment):
        name = type(source).__name__
        return Played(PREFIX + name, ObjectConfig(name, is_continuous(source.action_space)), source)
    if isinstance(source, gymnasium.Env | HostEnvironment) or callable(source):
        made: Any = source
        host = made if isinstance(made, HostEnvironment) else HostEnvironment.of(made)
        return Played(PREFIX + host.name, ObjectConfig.of(host), host)
    raise EmbrlError(
        f"{source!r} is nothing to fit on: pass an environment or its name, a Transition of "
        "arrays, a file or a Minari data set"
    )

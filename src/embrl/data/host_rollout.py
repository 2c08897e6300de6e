"""Rollouts: transitions of any policy in parallel environments on the host."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from embrl.core.masks import check_allowed, pack
from embrl.core.types import Transition
from embrl.data.rollout import Masks

if TYPE_CHECKING:
    from embrl.envs.gym import HostVectorEnv

Choose = Callable[[np.ndarray, int, "np.ndarray | None"], tuple[Any, Any]]
"""Returns actions `[replicas, B, ...]`, and anything else to keep of the choice, for observations
like them, the number of the step, and the masks `[replicas, B, n]`; None where there are none."""


class HostTaken(NamedTuple):
    """Steps that environments on the host have taken, `[replicas, B, ...]`."""

    transition: Transition
    extra: Any
    """What the choice wanted to keep."""
    masks: tuple[np.ndarray, np.ndarray] | None
    """Masks now and in the true next observations, packed; None where there are none."""


def host_steps(
    envs: "HostVectorEnv", choose: Choose, replicas: int = 1, allowed: Any = None
) -> Iterator[HostTaken]:
    """Step environments on the host that belong to several replicas, without end.

    Args:
        envs: the environments of the first replica, of the second, ...
        choose: chooses the actions.
        replicas: how many.
        allowed: bool `[n]`, the actions that are not excluded; None: all.

    Yields:
        The steps of all environments.

    Raises:
        EmbrlError: an environment fails, or its mask leaves no action that is not excluded.
    """

    def by_replica(values: np.ndarray) -> np.ndarray:
        return values.reshape(replicas, -1, *values.shape[1:])

    for t in itertools.count():
        seen, masks = by_replica(envs.observations), envs.masks
        if masks is not None:
            masks = by_replica(masks)
            if allowed is not None:
                check_allowed(masks, allowed, f"{envs.name}: the action mask at step {t}")
        action, extra = choose(seen, t, masks)
        action = np.asarray(action)
        after = envs.step(action.reshape(-1, *action.shape[2:]))
        flat = (after.reward, after.observation, after.terminated, after.truncated)
        columns: Any = (seen, action, *map(by_replica, flat))
        kept = None
        if masks is not None and after.masks is not None:
            kept = pack(masks), pack(by_replica(after.masks))
        yield HostTaken(Transition(*columns), extra, kept)


def host_rollout(
    envs: "HostVectorEnv", steps: int, choose: Choose, replicas: int, allowed: Any = None
) -> tuple[Transition, Any, Masks | None]:
    """Take steps in environments on the host, as `host_steps` does.

    Args:
        envs: the environments of the first replica, of the second, ...
        steps: of each environment.
        choose: chooses the actions.
        replicas: how many.
        allowed: as in `host_steps`.

    Returns:
        Transitions, what `choose` wanted to keep, and the masks, if there are any,
        `[replicas, T, B, ...]`.
    """
    taken = itertools.islice(host_steps(envs, choose, replicas, allowed), steps)
    transitions, kept, masks = zip(*taken, strict=True)
    stacked: Any = [np.stack(column, axis=1) for column in zip(*transitions, strict=True)]
    extras = None if kept[0] is None else np.stack(kept, axis=1)
    found = Transition(*stacked)
    return found, extras, _stacked_masks(masks, found.reward.shape)


def _stacked_masks(
    masks: Sequence[tuple[np.ndarray, np.ndarray] | None], shape: tuple[int, ...]
) -> Masks | None:
    """Stack the masks of single steps; before the first one, every action was allowed."""
    first = next((each for each in masks if each is not None), None)
    if first is None:
        return None
    everything = tuple(np.full_like(part, 255) for part in first)
    now, following = (
        np.stack([(each or everything)[which] for each in masks], axis=1) for which in range(2)
    )
    return Masks(now, following, np.zeros(shape, bool))  # type: ignore[arg-type]

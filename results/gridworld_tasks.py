"""The gridworld with other goals: exact planning, and episodes of policies for many goals at once.

Used by results/tasks.py. Goals are squares of 2 x 2 cells, as the gridworld's own.
"""

import dataclasses
import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from goal_conditioned import RandomSteps

import embrl
from embrl.envs.square import RESOLUTION, GridworldState
from embrl.tasks.episode import draw_among_best

NOWHERE = (2.0, 2.0, 2.0, 2.0)
"""A goal outside the square, which nothing reaches."""
LIMIT = 150
PER_SIDE = 2
"""Positions along each side of a cell from which its transitions are taken."""
GAMMA = 0.99

Choose = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""A policy for many goals: from observations and the numbers of their episodes to actions, or to
values of all actions."""


@dataclasses.dataclass(frozen=True)
class Played:
    """One episode for each goal."""

    returns: np.ndarray
    reached: np.ndarray
    observations: list[list[int]]
    actions: list[list[int]]


class Gridworld:
    """The gridworld of the paper, and what is known of it."""

    def __init__(self) -> None:
        self.env = embrl.make("gridworld")
        self.bins = self.env.bins
        self.cells = self.bins**2
        # One action for each distinct motion: planning needs no others.
        motions = np.asarray(self.env.motions)
        self.distinct = np.unique(motions, axis=0, return_index=True)[1]

    def boxes(self, cells: np.ndarray) -> np.ndarray:
        """Return the goals whose lower left cells these are, `[N, 4]`."""
        x, y = (cells % self.bins) / self.bins, (cells // self.bins) / self.bins
        return np.stack([x, y, x + 2 / self.bins, y + 2 / self.bins], 1).astype(np.float32)

    def inside(self, cell: int) -> np.ndarray:
        """Return the four cells of a goal."""
        return np.array([cell, cell + 1, cell + self.bins, cell + self.bins + 1])

    def free_goals(self, count: int, seed: int) -> np.ndarray:
        """Draw goals without obstacles in them, away from the start and the goal of the data."""
        rng, found = np.random.default_rng(seed), []
        obstacles = np.asarray(self.env.obstacles)
        taken = np.concatenate([obstacles, np.asarray(self.env.goal)[None]])
        start = np.asarray(self.env.start)
        for cell in rng.permutation(self.cells):
            if cell % self.bins == self.bins - 1 or cell // self.bins == self.bins - 1:
                continue
            x0, y0, x1, y1 = self.boxes(np.array([cell]))[0]
            clear = all(x1 <= a or x0 >= c or y1 <= b or y0 >= d for a, b, c, d in taken)
            if clear and max(abs(x0 - start[0]), abs(y0 - start[1])) > 0.1:
                found.append(cell)
            if len(found) == count:
                break
        return np.array(found)

    @functools.cached_property
    def fewest(self) -> np.ndarray:
        """Fewest steps from the start until each cell is entered, breadth first.

        As `embrl.envs.square.fewest_steps`, for all goals at once: positions are exact, and one is
        followed up in each cell of a finer grid, so these returns can be reached.
        """
        found = np.full(self.cells, np.inf)
        seen = np.zeros(RESOLUTION**2, bool)
        delta = 0.045 * np.asarray(self.env.motions)[self.distinct]
        frontier = np.asarray(self.env.start)[None]
        for steps in range(1, LIMIT):
            position = np.repeat(frontier, len(delta), axis=0)
            move, ended = np.tile(delta, (len(frontier), 1)), []
            free = np.ones(len(position), bool)
            for _ in range(4):
                target = position + move
                free &= ~self._blocked(target)
                position = np.where(free[:, None], target, position)
                ended.append(position[free])
            passed = self._cells(np.concatenate(ended), self.bins)
            found[passed] = np.minimum(found[passed], steps)
            position = position[free]
            fine, first = np.unique(self._cells(position, RESOLUTION), return_index=True)
            fresh = ~seen[fine]
            seen[fine[fresh]] = True
            frontier = position[first[fresh]]
            if not len(frontier):
                break
        return found

    def best_known(self, cells: np.ndarray) -> np.ndarray:
        """Return the best known return for each goal, from the start."""
        return 1.0 - 0.01 * np.array([self.fewest[self.inside(cell)].min() for cell in cells])

    def _blocked(self, target: np.ndarray) -> np.ndarray:
        hit = ((target < 0) | (target > 1)).any(-1)
        for box in np.asarray(self.env.obstacles):
            hit |= ((box[:2] <= target) & (target <= box[2:])).all(-1)
        return hit

    def _cells(self, position: np.ndarray, bins: int) -> np.ndarray:
        place = np.clip((position * bins).astype(np.int32), 0, bins - 1)
        return place[..., 1] * bins + place[..., 0]

    @functools.cached_property
    def transitions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ends of steps from each cell without any goal.

        Returns:
            Next cells `[cells, actions, positions]`, collisions, and the cells at the ends of the
            four sub-steps `[cells, actions, positions, 4]`.
        """
        offsets = (np.arange(PER_SIDE) + 0.5) / PER_SIDE
        places = np.stack(np.meshgrid(offsets, offsets), -1).reshape(-1, 2)
        corner = np.stack(
            [np.arange(self.cells) % self.bins, np.arange(self.cells) // self.bins], 1
        )
        position = ((corner[:, None] + places) / self.bins)[:, None].astype(np.float32)
        delta = 0.045 * np.asarray(self.env.motions)[self.distinct][None, :, None]
        position = np.broadcast_to(position, (*np.broadcast_shapes(position.shape, delta.shape),))
        stopped, ends = np.zeros(position.shape[:-1], bool), []
        for _ in range(4):
            target = position + delta
            stopped = stopped | self._blocked(target)
            position = np.where(stopped[..., None], position, target)
            ends.append(self._cells(position, self.bins).astype(np.int16))
        return ends[-1], stopped, np.stack(ends, -1)

    def plan(self, cell: int, sweeps: int = 15) -> np.ndarray:
        """Return the values of the distinct actions in each cell, by value iteration.

        The state is the cell, as the agent sees it: transitions are averages over the positions in
        it. A step that passes through the goal ends there.
        """
        ends, collided, passed = self.transitions
        goal = np.isin(np.arange(self.cells), self.inside(cell))
        done = goal[passed].any(-1)
        reward = done - 0.05 * (collided & ~done) - 0.01
        mean, value = reward.mean(-1).astype(np.float32), np.zeros(self.cells, np.float32)
        keep = (~done).astype(np.float32) * GAMMA / done.shape[-1]
        for _ in range(sweeps):
            q = mean + (keep * value[ends]).sum(-1)
            new = q.max(-1)
            if np.abs(new - value).max() < 1e-4:
                break
            value = new
        return q

    def play_best(
        self,
        cells: np.ndarray,
        values: Choose,
        starts: np.ndarray | None = None,
        *,
        actions: np.ndarray | None = None,
        remember: bool = True,
        seed: int = 0,
    ) -> Played:
        """Play one episode for each goal, with the best actions.

        Args:
            cells: goals, as in `play`.
            values: values of all actions.
            starts: as in `play`.
            actions: the actions whose values these are; None: all.
            remember: whether actions are drawn as in `embrl.tasks.episode.TaskEpisode`; else they
                are the best ones.
            seed: random seed of the draws.
        """
        rng, visits = np.random.default_rng(seed), np.zeros((len(cells), self.cells), int)
        many = np.arange(len(self.env.motions)) if actions is None else actions

        def choose(seen: np.ndarray, rows: np.ndarray) -> np.ndarray:
            earlier = visits[rows, seen]
            if remember:
                visits[rows, seen] += 1
            return many[draw_among_best(values(seen, rows), earlier, rng)]

        return self.play(cells, choose, starts, deterministic=not remember)

    def random_steps(self, count: int, sticky: float, seed: int, lanes: int = 400) -> RandomSteps:
        """Return random transitions of episodes with the goal of the gridworld."""
        rng, found = np.random.default_rng(seed), []
        home = np.tile(np.asarray(self.env.start), (lanes, 1))
        boxes, place = np.tile(np.asarray(self.env.goal), (lanes, 1)), home.copy()
        steps, action = np.zeros(lanes, int), rng.integers(len(self.env.motions), size=lanes)
        seen = np.asarray(_observe(self.env, jnp.asarray(place)))
        for _ in range(count // lanes):
            after, observed, _, ended = (
                np.asarray(part)
                for part in _step(self.env, *map(jnp.asarray, (boxes, place, action)))
            )
            steps += 1
            ended = ended | (steps >= LIMIT)
            found.append((seen, action, observed, ended))
            place = np.where(ended[:, None], home, after)
            seen = np.asarray(_observe(self.env, jnp.asarray(place)))
            steps[ended] = 0
            fresh = ended | (rng.random(lanes) >= sticky)
            action = np.where(fresh, rng.integers(len(self.env.motions), size=lanes), action)
        return RandomSteps(*(np.stack(column) for column in zip(*found, strict=True)))

    def play(
        self,
        cells: np.ndarray,
        choose: Choose,
        starts: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> Played:
        """Play one episode for each goal; positions are exact.

        Args:
            cells: goals; -1: none.
            choose: the policy.
            starts: starting positions `[N, 2]`; None: the gridworld's own.
            deterministic: whether the policy is, so that one that stands still does so to the end.
        """
        count = len(cells)
        boxes = np.where(cells[:, None] < 0, np.float32(NOWHERE), self.boxes(np.abs(cells)))
        place = np.tile(np.asarray(self.env.start), (count, 1)) if starts is None else starts.copy()
        seen = _observe(self.env, jnp.asarray(_padded(place)))[:count]
        returns, reached = np.zeros(count), np.zeros(count, bool)
        observations, actions = [[int(o)] for o in seen], [[] for _ in cells]
        active, seen = np.arange(count), np.array(seen)
        for _ in range(LIMIT):
            if not len(active):
                break
            chosen = np.asarray(choose(seen[active], active))
            columns = (boxes[active], place[active], chosen)
            found = _step(self.env, *(jnp.asarray(_padded(column)) for column in columns))
            after, observed, reward, ended = (np.asarray(part)[: len(active)] for part in found)
            for row, action, cell in zip(active, chosen, observed, strict=True):
                actions[row].append(int(action))
                observations[row].append(int(cell))
            returns[active] += reward
            still = (after == place[active]).all(-1) & deterministic
            place[active], seen[active] = after, observed
            reached[active[ended]] = True
            for row, cost in zip(active[still & ~ended], reward[still & ~ended], strict=True):
                returns[row] += cost * (LIMIT - len(actions[row]))
            active = active[~ended & ~still]
        return Played(returns, reached, observations, actions)


def _padded(column: np.ndarray, unit: int = 64) -> np.ndarray:
    """Repeat the last row up to a multiple of `unit`: one program serves."""
    missing = -len(column) % unit
    return np.concatenate([column, np.repeat(column[-1:], missing, axis=0)])


@eqx.filter_jit
def _observe(env, place):
    return jax.vmap(env.observe)(place)


@eqx.filter_jit
def _step(env, boxes, place, action):
    def one(box, position, a):
        world = eqx.tree_at(lambda env: env.goal, env, box)
        state, seen = world.step(jax.random.key(0), GridworldState(position, jnp.int32(0)), a)
        return state.position, seen.observation, seen.reward, seen.terminated

    return jax.vmap(one)(boxes, place, action)

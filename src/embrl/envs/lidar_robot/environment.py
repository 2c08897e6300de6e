"""A differential-drive robot with a lidar, and its two jobs."""

import dataclasses
import math
from typing import Any, ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Bool, Float, Int

from embrl.core.errors import EmbrlError
from embrl.core.types import Action, Key, TimeStep
from embrl.envs.checks import check_choice, check_number, check_positive, check_whole
from embrl.envs.environment import Environment
from embrl.envs.lidar_robot.geometry import cast_rays, touches
from embrl.envs.lidar_robot.halls import LAYOUTS, Hall, PictureFile, hall_of
from embrl.envs.lidar_robot.picture import Scene, from_above

RADIUS = 0.2
"""Radius of the robot in metres."""

SPEED = (-0.5, 1.0)
"""Least and greatest speed, m/s."""

TURN = 2.0
"""Greatest turning speed in either direction, rad/s."""

REACH = 0.5
"""Distance in metres from which a package is taken or left."""

HIDDEN = math.pi / 8
"""Angle to either side of the robot's back in which a package on it hides everything, rad."""


@dataclasses.dataclass(frozen=True)
class LidarRobotConfig:
    """Settings of a robot with a lidar that fetches packages among shelves, seen from above.

    The observation is the beams of the lidar, as fractions of its range, and the direction of a
    goal. warehouse: fetch a package from beside a shelf and bring it to the dock; the direction is
    that of the package, then that of the dock. sorting: fetch a package, whose colour is that of
    the bay where it stands, and bring it to the chute of this colour; the direction is always that
    of the bay. A package on the robot hides the beams behind it.
    """

    job: Literal["warehouse", "sorting"] = "warehouse"
    """Job of the robot."""
    layout: Literal["rows", "aisles", "islands", "corners"] = "rows"
    """Where the shelves stand, in a hall of 8 x 6 m."""
    picture: str = ""
    """Picture of the hall from above in place of a layout, an image or a .npy file: shelves are
    dark, and the hall is 8 m wide. Empty: none."""
    jitter: float = 0.15
    """Distance by which each shelf is shifted at random along both axes in each episode, at most,
    0 to 0.4 m."""
    beams: int = 64
    """Number of beams, evenly around the robot, 64 to 256."""
    range: float = 6.0
    """Range of the lidar in metres, above 0; what is farther is seen there."""
    noise: float = 0.03
    """Standard deviation of a reading, 0 to 1 m."""
    dropped: float = 0.02
    """Probability that a beam does not return, 0 to 0.9; it then reads the whole range."""
    actions: Literal["table", "continuous"] = "table"
    """Actions: the commands of a table, or speed and turning speed as two numbers."""
    speeds: int = 16
    """Speeds in the table, from -0.5 to 1 m/s, 2 to 64."""
    turns: int = 32
    """Turning speeds in the table, from -2 to 2 rad/s, 2 to 64."""
    colours: int = 2
    """Colours of packages in sorting, 2 to 4, each with a bay and a chute."""
    shaping: float = 0.1
    """Reward for each metre that the robot comes nearer to where it has to go, 0 to 1."""
    collision: float = 0.02
    """Cost of a step in which the robot would hit something, and does not move, 0 to 1."""
    tau: float = 0.3
    """Duration of a step in seconds, above 0 to 0.4: longer ones would jump through shelves."""
    step_limit: int = 100
    """Steps until an episode is truncated, at least 1."""

    data_settings: ClassVar[tuple[str, ...]] = ("picture",)

    @property
    def continuous_actions(self) -> bool:
        """True if actions are two numbers."""
        return self.actions == "continuous"

    def build(self) -> "LidarRobot":
        """Make the environment.

        Raises:
            EmbrlError: If a setting is out of range, or the picture is none of a hall.
        """
        check_choice("job", self.job, ("warehouse", "sorting"))
        check_choice("layout", self.layout, tuple(LAYOUTS))
        check_choice("actions", self.actions, ("table", "continuous"))
        check_whole("beams", self.beams, 64, 256)
        for name in ("speeds", "turns"):
            check_whole(name, getattr(self, name), 2, 64)
        check_whole("colours", self.colours, 2, 4)
        for name in ("range", "tau"):
            check_positive(name, getattr(self, name))
        limits = {"jitter": 0.4, "noise": 1.0, "dropped": 0.9, "shaping": 1.0, "collision": 1.0}
        for name, high in {**limits, "tau": 0.4}.items():
            check_number(name, getattr(self, name), 0.0, high)
        check_whole("step_limit", self.step_limit, 1)
        hall = hall_of(self.layout, self.picture, RADIUS + self.jitter)
        robot = LidarRobot(self, hall)
        if self.job == "sorting" and (apart := robot.least_distance()) <= 2 * REACH:
            raise EmbrlError(
                f"env.picture must leave bays and chutes more than {2 * REACH:g} m apart, got "
                f"{apart:.2g} m; leave more room along the lower and upper wall, or fewer colours"
            )
        return robot


class LidarState(NamedTuple):
    """State of the robot, its job and the shelves of this episode."""

    shelves: Float[Array, "R 4"]
    pose: Float[Array, "3"]
    """x, y and heading."""
    loaded: Bool[Array, ""]
    package: Float[Array, "2"]
    """Where the package stands, or stood."""
    target: Float[Array, "2"]
    """Where it belongs."""
    steps: Int[Array, ""]


class LidarRobot(Environment):
    """The robot of `LidarRobotConfig`.

    Observation: readings of the beams counter-clockwise from straight ahead, 0 to 1, then cosine
    and sine of the direction, relative to the heading. Reward: 1 for taking the package, 1 for
    leaving it where it belongs, -1 at the wrong chute, which both end the episode; shaping and
    collisions.
    """

    size: Float[Array, "2"]
    shelves: Float[Array, "R 4"]
    places: Float[Array, "P 2"]
    packages: Float[Array, "Q 2"]
    """Where packages may stand: beside shelves, or in the bay of each colour."""
    targets: Float[Array, "K 2"]
    """Where packages belong: the dock, or the chute of each colour."""
    commands: Float[Array, "n 2"]
    config: LidarRobotConfig = eqx.field(static=True)

    def __init__(self, config: LidarRobotConfig, hall: Hall) -> None:
        """Place docks, bays and chutes in a hall."""
        self.config = config
        self.size, self.shelves = jnp.asarray(hall.size), jnp.asarray(hall.shelves)
        self.places = jnp.asarray(hall.places)
        width, height = map(float, hall.size)
        if config.job == "warehouse":
            packages, targets = hall.served, [hall.nearest((width / 2, 0.0))]
        else:
            along = [(colour + 0.5) * width / config.colours for colour in range(config.colours)]
            packages = np.stack([hall.nearest((x, 0.0)) for x in along])
            # The chute of a colour is not opposite its bay.
            targets = [hall.nearest((x, height)) for x in (*along[1:], along[0])]
        self.packages, self.targets = jnp.asarray(packages), jnp.asarray(np.stack(targets))
        table = np.meshgrid(
            np.linspace(*SPEED, config.speeds),
            np.linspace(-TURN, TURN, config.turns),
            indexing="ij",
        )
        self.commands = jnp.asarray(np.stack(table, -1).reshape(-1, 2).astype(np.float32))

    @property
    def observation_space(self) -> spaces.Box:
        """Beams, and a direction."""
        low = np.repeat(np.array([0, -1], np.float32), (self.config.beams, 2))
        return spaces.Box(low, np.ones_like(low), dtype=np.float32)

    @property
    def action_space(self) -> spaces.Space:
        """Commands of the table, or speed and turning speed."""
        if self.config.continuous_actions:
            low, high = np.array([[SPEED[0], -TURN], [SPEED[1], TURN]], np.float32)
            return spaces.Box(low, high, dtype=np.float32)
        return spaces.Discrete(len(self.commands))

    def reset(self, key: Key) -> tuple[LidarState, Array]:
        """Start an episode at a random place, with shifted shelves and a new package."""
        key_shift, key_place, key_turn, key_package, key_seen = jax.random.split(key, 5)
        jitter = self.config.jitter
        shift = jax.random.uniform(key_shift, (len(self.shelves), 2), jnp.float32, -jitter, jitter)
        start = self.places[jax.random.randint(key_place, (), 0, len(self.places))]
        heading = jax.random.uniform(key_turn, (1,), jnp.float32, -math.pi, math.pi)
        which = jax.random.randint(key_package, (), 0, len(self.packages))
        state = LidarState(
            shelves=self.shelves + jnp.tile(shift, 2),
            pose=jnp.concatenate([start, heading]),
            loaded=jnp.bool_(False),
            package=self.packages[which],
            target=self.targets[0] if self.config.job == "warehouse" else self.targets[which],
            steps=jnp.int32(0),
        )
        return state, self._observe(key_seen, state)

    def step(self, key: Key, state: LidarState, action: Action) -> tuple[LidarState, TimeStep]:
        """Drive along an arc, and take or leave the package where that is possible."""
        config = self.config
        command = jnp.asarray(action) if config.continuous_actions else self.commands[action]
        speed, turn = command
        middle = state.pose[2] + 0.5 * config.tau * turn
        ahead = state.pose[:2] + config.tau * speed * jnp.stack([jnp.cos(middle), jnp.sin(middle)])
        hit = touches(ahead, RADIUS, self.size, state.shelves)
        position = jnp.where(hit, state.pose[:2], ahead)
        heading = jnp.mod(state.pose[2] + config.tau * turn + math.pi, 2 * math.pi) - math.pi

        goal = jnp.where(state.loaded, state.target, state.package)
        nearer = _apart(state.pose[:2], goal) - _apart(position, goal)
        taken = ~state.loaded & (_apart(position, state.package) < REACH)
        left = state.loaded & (_apart(position, self.targets) < REACH).any()
        right = left & (_apart(position, state.target) < REACH)
        reward = config.shaping * nearer - config.collision * hit
        reward += taken.astype(jnp.float32) + jnp.where(left, jnp.where(right, 1.0, -1.0), 0.0)
        after = state._replace(
            pose=jnp.concatenate([position, heading[None]]),
            loaded=state.loaded | taken,
            steps=state.steps + 1,
        )
        return after, TimeStep(
            observation=self._observe(key, after),
            reward=reward.astype(jnp.float32),
            terminated=left,
            truncated=(after.steps >= config.step_limit) & ~left,
        )

    def action_effects(self) -> Float[Array, "n 2"] | None:
        """Return speed and turning speed of each command, as fractions of the greatest."""
        if self.config.continuous_actions:
            return None
        return self.commands / jnp.array([SPEED[1], TURN])

    def action_features(self) -> np.ndarray | None:
        """Return the same, for `embedding.action-features env`."""
        effects = self.action_effects()
        return None if effects is None else np.asarray(effects)

    def least_distance(self) -> float:
        """Return the distance between the nearest two of the packages' places and the targets."""
        points = np.concatenate([self.packages, self.targets])
        apart = np.sqrt(((points[:, None] - points) ** 2).sum(-1))
        return float(apart[~np.eye(len(points), dtype=bool)].min())

    def ranges(self, state: LidarState) -> Float[Array, " B"]:
        """Return the distance to what each beam meets, in metres, without noise."""
        angles = jnp.arange(self.config.beams) * (2 * math.pi / self.config.beams)
        found = cast_rays(state.pose[:2], state.pose[2] + angles, self.size, state.shelves)
        return jnp.where(state.loaded & (jnp.abs(angles - math.pi) < HIDDEN), 0.0, found)

    def render(self, state: Any) -> np.ndarray:
        """Return a picture of a state from above, uint8 `[height, width, 3]`."""
        ranges = np.minimum(np.asarray(self.ranges(state)), self.config.range)
        package = None if state.loaded else np.asarray(state.package)
        return from_above(
            Scene(
                np.asarray(self.size),
                np.asarray(state.shelves),
                np.asarray(state.pose),
                ranges,
                np.asarray(self.targets),
                np.asarray(state.target),
                package,
            )
        )

    @property
    def data_source(self) -> PictureFile | None:
        """The picture of the hall, if there is one."""
        return PictureFile(self.config.picture) if self.config.picture else None

    @property
    def render_fps(self) -> float:
        """Steps per second of the robot's time."""
        return 1.0 / self.config.tau

    def _observe(self, key: Key, state: LidarState) -> Float[Array, " p"]:
        config = self.config
        key_noise, key_drop = jax.random.split(key)
        noise = config.noise * jax.random.normal(key_noise, (config.beams,))
        read = jnp.clip((self.ranges(state) + noise) / config.range, 0.0, 1.0)
        lost = jax.random.uniform(key_drop, (config.beams,)) < config.dropped
        known = state.package
        if config.job == "warehouse":
            known = jnp.where(state.loaded, state.target, known)
        x, y = known - state.pose[:2]
        angle = jnp.arctan2(y, x) - state.pose[2]
        direction = jnp.stack([jnp.cos(angle), jnp.sin(angle)])
        return jnp.concatenate([jnp.where(lost, 1.0, read), direction]).astype(jnp.float32)


def _apart(position: Float[Array, "2"], point: Float[Array, "*k 2"]) -> Float[Array, "*k"]:
    return jnp.sqrt(((point - position) ** 2).sum(-1))

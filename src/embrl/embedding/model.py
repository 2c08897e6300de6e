"""phi, g and what they are trained with: the model that is learned from transitions."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import gymnasium
import jax
from jaxtyping import Array

from embrl.core.errors import EmbrlError
from embrl.core.spaces import action_count, is_continuous
from embrl.core.types import Key, Observation
from embrl.embedding.config import EchoConfig, EmbeddingConfig, EmbeddingShape
from embrl.embedding.encoders import (
    ActionDecoder,
    ActionEncoder,
    ContinuousActions,
    RawStates,
    StateEncoder,
)
from embrl.embedding.feature_actions import FeatureActions
from embrl.embedding.objectives import (
    OBJECTIVES,
    FunctionObjective,
    Objective,
    OwnObjective,
    checked_objective,
)
from embrl.embedding.objectives.dynamics import Forward
from embrl.embedding.objectives.rewards import Outcome
from embrl.embedding.transition import EchoTransition, Prediction, TransitionModel


class JointEmbedding(eqx.Module):
    """The environment model of Pritz et al. 2021, eq. 3: P(s'|s, a) = T(s' | phi(s), g(a)).

    T is the part called `forward`; other objectives bring parts of their own.
    """

    phi: StateEncoder | RawStates
    g: ActionEncoder | FeatureActions | ContinuousActions
    f: ActionDecoder | None
    """Undoes g where actions are numbers; None where they are discrete, and f looks them up."""
    parts: dict[str, Objective]
    raw: RawStates
    tie: int | None = eqx.field(static=True)
    """The factor whose values' places are the actions'; None where g has rows of its own."""

    def __init__(
        self,
        observation_space: gymnasium.Space,
        action_space: gymnasium.Space,
        config: EmbeddingConfig,
        *,
        echo: EchoConfig = EchoConfig(),  # noqa: B008  (frozen)
        states: bool = True,
        objectives: tuple[str, ...] = ("forward",),
        custom_objectives: Mapping[str, OwnObjective] | None = None,
        named: int | None = None,
        features: Array | None = None,
        key: Key,
    ) -> None:
        """Arguments:
            states: whether states are embedded; if not, phi is the identity.
            objectives: names in `OBJECTIVES` or `custom_objectives`.
            custom_objectives: a user's objectives, by name.
            named: the factor of observations whose values the actions name, if they do.
            features: of discrete actions, `[n, q]`; None: each has a row of its own instead.

        Raises:
            EmbrlError: an unknown objective, or one that does not suit the rest; or
                `config.action_features` are not passed on.
        """
        key_phi, key_g, key_parts = jax.random.split(key, 3)
        self.raw = RawStates(observation_space, scaled=True)
        self.phi = (
            StateEncoder(
                observation_space,
                config.state_dim,
                config.state_hidden,
                spread=config.state_spread,
                key=key_phi,
            )
            if states
            else self.raw
        )
        self.f, actions = None, 0
        if is_continuous(action_space):
            key_f = jax.random.fold_in(key_g, 1)
            network = config.action_network
            g_hidden = config.action_hidden if network else None
            f_hidden = config.decoder_hidden if network else None
            self.g = ContinuousActions(action_space, config.action_dim, g_hidden, key=key_g)
            self.f = ActionDecoder(action_space, config.action_dim, f_hidden, key=key_f)
        else:
            actions = action_count(action_space)
            self.g = _new_g(actions, features, config, key_g)
        self.tie = named if echo.tie else None
        shape = EmbeddingShape(
            observation_space,
            self.phi.features,
            actions,
            config.action_dim,
            states,
            named,
            self.g_inputs,
            echo.memory_weight,
        )
        self.parts = {}
        for index, name in enumerate(objectives):
            key = jax.random.fold_in(key_parts, index) if index else key_parts
            self.parts[name] = _new_part(name, custom_objectives or {}, shape, config, key)
        if self.tie is not None:
            self.g = self.tied().g

    @property
    def g_inputs(self) -> int:
        """Numbers of a continuous action; 0 of a discrete one."""
        return self.g.raw.features if isinstance(self.g, ContinuousActions) else 0

    @property
    def f_learns(self) -> bool:
        """Whether f is a network, to be trained once g is."""
        return self.f is not None and self.f.network is not None

    def scaled_by(self, observation: Observation, action: Array) -> "JointEmbedding":
        """The same, with coordinates that have no bounds scaled by these observations and actions.

        Arguments:
            observation: `[..., p]`; of discrete ones nothing is to be known.
        """
        model = eqx.tree_at(lambda m: m.raw, self, self.raw.seen(observation))
        if isinstance(model.phi, RawStates):
            model = eqx.tree_at(lambda m: m.phi, model, model.raw)
        else:
            model = eqx.tree_at(lambda m: m.phi.raw, model, model.raw)
        if isinstance(model.g, ContinuousActions):
            raw = model.g.raw.seen(action)
            model = eqx.tree_at(lambda m: (m.g.raw, m.f.raw), model, (raw, raw))
        return model

    def tied(self) -> "JointEmbedding":
        """The same with g's rows where phi has the values that actions name; gradients of them
        reach phi. Itself, where they are not tied.
        """
        if self.tie is None or not isinstance(self.phi, StateEncoder):
            return self
        assert isinstance(self.g, ActionEncoder)
        return eqx.tree_at(lambda model: model.g.rows, self, self.phi.rows[self.tie])

    @property
    def T(self) -> TransitionModel:
        """The transition model.

        Raises:
            EmbrlError: next states are not among what this embedding predicts.
        """
        part = self.parts.get("forward")
        if not isinstance(part, Forward):
            raise EmbrlError("this embedding has no transition model: its objectives lack forward")
        return part.T

    @property
    def echo(self) -> EchoTransition:
        """The transition model of an embedding with the echo head.

        Raises:
            EmbrlError: it has another head.
        """
        if not isinstance(self.T, EchoTransition):
            raise EmbrlError("this embedding has no echo head; set embedding.head echo")
        return self.T

    @property
    def outcome(self) -> Outcome:
        """The linear model of rewards.

        Raises:
            EmbrlError: rewards are not among what this embedding predicts.
        """
        part = self.parts.get("outcome")
        if not isinstance(part, Outcome):
            raise EmbrlError("this embedding has no model of rewards; add outcome to objectives")
        return part

    def predict(self, observation: Observation, action: jax.Array) -> Prediction:
        """T's prediction of the next observation: logits for each factor, or a scaled box."""
        return self.T(self.phi(observation), self.g(action), self.phi.points, action)


def _new_g(
    actions: int, features: Array | None, config: EmbeddingConfig, key: Key
) -> ActionEncoder | FeatureActions:
    if features is not None:
        return FeatureActions(
            features,
            config.action_dim,
            config.action_hidden,
            rows=config.action_rows,
            spread=config.action_spread,
            key=key,
        )
    if config.action_features:
        raise EmbrlError(
            f"embedding.action-features is {config.action_features}, and the features were not passed: "
            "JointEmbedding(..., features=...)"
        )
    return ActionEncoder(actions, config.action_dim, spread=config.action_spread, key=key)


def _new_part(
    name: str,
    own: Mapping[str, OwnObjective],
    shape: EmbeddingShape,
    config: EmbeddingConfig,
    key: Key,
) -> Objective:
    kind: Any = checked_objective(name, own.get(name) or OBJECTIVES[name])
    return kind(shape, config, key=key) if isinstance(kind, type) else FunctionObjective(kind)

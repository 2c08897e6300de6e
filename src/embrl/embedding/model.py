"""The joint embedding: phi, g, f and the networks of the objectives that train them."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import gymnasium
import jax
from jaxtyping import Array

from embrl.core.errors import EmbrlError
from embrl.core.products import is_product
from embrl.core.spaces import action_count, is_continuous
from embrl.core.types import Key, Observation
from embrl.embedding.config import EchoConfig, EmbeddingConfig, EmbeddingShape, embedding_dims
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
from embrl.embedding.product_actions import ProductActions
from embrl.embedding.transition import EchoTransition, Prediction, TransitionModel


class JointEmbedding(eqx.Module):
    """Joint embedding of states and actions (Pritz et al. 2021, eq. 3).

        P(s' | s, a) = T(s' | phi(s), g(a))

    T belongs to the objective `forward`; other objectives have networks of their own.
    """

    phi: StateEncoder | RawStates
    """State encoder, or the identity where states are not embedded."""
    g: ActionEncoder | FeatureActions | ContinuousActions | ProductActions
    """Action encoder."""
    f: ActionDecoder | None
    """Inverse of g for continuous actions; None for discrete ones, which are looked up."""
    parts: dict[str, Objective]
    """Objectives with their networks, by name."""
    raw: RawStates
    """Raw features of observations, which predictions are compared with."""
    tie: int | None = eqx.field(static=True)
    """Factor whose values share their embeddings with the actions; None: g has its own rows."""

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
        """Initialise all networks.

        Args:
            observation_space: observation space, in embrl's form.
            action_space: action space, in embrl's form.
            config: sizes of the networks.
            echo: settings for actions that name values of the observation.
            states: True to embed states; otherwise phi is the identity.
            objectives: names in `OBJECTIVES` or `custom_objectives`.
            custom_objectives: a user's objectives, by name.
            named: factor of observations whose values the actions name, if there is one.
            features: features of discrete actions, `[n, q]`; None: each has a learned row.
            key: random key.

        Raises:
            EmbrlError: an objective is unknown or does not fit the encoders, or
                `config.action_features` is set but `features` is None.
        """
        key_phi, key_g, key_parts = jax.random.split(key, 3)
        self.raw = RawStates(
            observation_space, config.image_layers, grey=config.grey_scale, scaled=True
        )
        self.phi = (
            StateEncoder(
                observation_space,
                config.state_dim,
                config.state_hidden,
                spread=config.state_spread,
                layers=config.image_layers,
                grey=config.grey_scale,
                ring=config.ring,
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
        elif is_product(action_space):
            self.g = ProductActions(
                action_space,
                config.action_dim,
                spread=config.action_spread,
                shared=config.shared_parts,
                key=key_g,
            )
        else:
            actions = action_count(action_space)
            self.g = _new_g(actions, features, config, key_g)
        self.tie = named if echo.tie else None
        shape = EmbeddingShape(
            observation_space,
            self.raw.features,
            self.phi.features,
            actions,
            embedding_dims(config, action_space),
            states,
            named,
            self.g_inputs,
            echo.memory_weight,
            self.g.product if isinstance(self.g, ProductActions) else None,
        )
        self.parts = {}
        for index, name in enumerate(objectives):
            key = jax.random.fold_in(key_parts, index) if index else key_parts
            self.parts[name] = _new_part(name, custom_objectives or {}, shape, config, key)
        if self.tie is not None:
            self.g = self.tied().g

    @property
    def g_inputs(self) -> int:
        """Dimensions of a continuous action; 0 if actions are discrete."""
        return self.g.raw.features if isinstance(self.g, ContinuousActions) else 0

    @property
    def f_learns(self) -> bool:
        """True if f is a network, which is trained after g."""
        return self.f is not None and self.f.network is not None

    def scaled_by(self, observation: Observation, action: Array) -> "JointEmbedding":
        """Return the model with unbounded coordinates scaled by observed statistics.

        Args:
            observation: observations `[..., p]`; ignored if they are discrete.
            action: actions `[..., q]`; ignored if they are discrete.
        """
        model = eqx.tree_at(lambda m: m.raw, self, self.raw.seen(observation))
        if isinstance(model.phi, RawStates):
            model = eqx.tree_at(lambda m: m.phi, model, model.raw)
        else:
            model = eqx.tree_at(lambda m: m.phi.raw, model, model.raw)
        if isinstance(model.g, ContinuousActions):
            raw = model.g.raw.seen(action)
            model = eqx.tree_at(lambda m: (m.g.raw, m.f.raw), model, (raw, raw))
        if isinstance(model.g, ProductActions) and model.g.numbers is not None:
            numbers = model.g.numbers.seen(model.g.product.split(action)[1])
            model = eqx.tree_at(lambda m: m.g.numbers, model, numbers)
        return model

    def tied(self) -> "JointEmbedding":
        """Return the model with the embeddings of named values as rows of g.

        Gradients with respect to these rows reach phi. A model that is not tied is returned as is.
        """
        if self.tie is None or not isinstance(self.phi, StateEncoder):
            return self
        assert isinstance(self.g, ActionEncoder)
        return eqx.tree_at(lambda model: model.g.rows, self, self.phi.rows[self.tie])

    @property
    def T(self) -> TransitionModel:
        """The transition model.

        Raises:
            EmbrlError: the objectives lack `forward`.
        """
        part = self.parts.get("forward")
        if not isinstance(part, Forward):
            raise EmbrlError("this embedding has no transition model; add forward to objectives")
        return part.T

    @property
    def echo(self) -> EchoTransition:
        """The transition model of an embedding with the echo head.

        Raises:
            EmbrlError: the transition model has another head.
        """
        if not isinstance(self.T, EchoTransition):
            raise EmbrlError("this embedding has no echo head; set embedding.head echo")
        return self.T

    @property
    def outcome(self) -> Outcome:
        """The linear reward model R(s').

        Raises:
            EmbrlError: the objectives lack `outcome`.
        """
        part = self.parts.get("outcome")
        if not isinstance(part, Outcome):
            raise EmbrlError("this embedding has no reward model; add outcome to objectives")
        return part

    def predict(self, observation: Observation, action: jax.Array) -> Prediction:
        """Return T's prediction of the next observation."""
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
            f"features must be given where embedding.action_features is {config.action_features}, "
            "got None; pass JointEmbedding(..., features=...)"
        )
    return ActionEncoder(actions, config.action_dim, spread=config.action_spread, key=key)


def _new_part(
    name: str,
    custom: Mapping[str, OwnObjective],
    shape: EmbeddingShape,
    config: EmbeddingConfig,
    key: Key,
) -> Objective:
    kind: Any = checked_objective(name, custom.get(name) or OBJECTIVES[name])
    return kind(shape, config, key=key) if isinstance(kind, type) else FunctionObjective(kind)

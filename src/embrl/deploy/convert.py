"""Conversion of a trained policy in JAX to plain steps (`embrl.portable`)."""

import operator
from typing import Any

import jax
import numpy as np

from embrl.algorithms.actors import LOG_STD, CategoricalActor, GaussianActor, SquashedGaussianActor
from embrl.algorithms.critics import ModelScorer, PointCritic
from embrl.algorithms.networks import Joined, Network
from embrl.algorithms.policy import OverallPolicy
from embrl.algorithms.product_actor import ProductActor
from embrl.core.errors import EmbrlError
from embrl.core.portable import layer_step, mlp_steps, plain
from embrl.decoding.base import PortableCritic, PortableModel, PortableScorer
from embrl.decoding.indexed import points_of
from embrl.deploy.array_forms import Forms
from embrl.embedding.encoders import RowCodes, StandardisedEncoder, WithState
from embrl.embedding.memory import NO_STATE
from embrl.embedding.portable import phi_chain, row_code_steps
from embrl.embedding.transition import ECHO_GAIN, EchoTransition
from embrl.portable.steps import (
    Affine,
    Beside,
    Cast,
    Categorical,
    CategoricalParts,
    Chain,
    Column,
    Digits,
    Draw,
    Gaussian,
    LikeliestParts,
    MeanOne,
    MostLikely,
    PortablePolicy,
    Slice,
    SquashedGaussian,
    Tanh,
    Unstandardised,
    VisitRecall,
)


def portable_policy(policy: OverallPolicy, forms: Forms) -> PortablePolicy:
    """Return the policy in plain steps.

    Args:
        policy: The policy in JAX.
        forms: Forms of the observations and actions that it takes and returns.

    Raises:
        EmbrlError: If its f asks the learned model, or it has custom parts; the message says which.
    """
    f = policy.f
    allowed = policy.allowed_by(None)
    if allowed is not None and not f.portable_exclusions:
        raise EmbrlError(
            f"{type(f).__name__} has no form outside of JAX with excluded actions; train with "
            "decoder.kind nearest, or act with embrl.load(RUN).policy()"
        )
    table: Any = policy.table
    decoder = f.portable(points_of(table), allowed, lambda: _scorer(policy.critic, forms.enter))
    network, most_likely, draw = _actor(policy.actor)
    return PortablePolicy(
        features=forms.enter.then(_features(policy.phi)),
        actor=network,
        most_likely=most_likely,
        draw=draw,
        f=decoder.f,
        f_draw=decoder.draw,
        scored=decoder.scored,
        leave=forms.leave,
    )


def _features(phi: Any) -> Chain:
    """Return the chain from observations to the policy's input."""
    match phi:
        case WithState():
            phi_side = _features(phi.phi).then(Chain((MeanOne(),)))
            return Chain((Beside((phi_side, _features(phi.raw))),))
        case RowCodes():
            return Chain(row_code_steps(phi))
        case StandardisedEncoder():
            return phi_chain(phi.encoder, phi.norm)
        case _:
            return phi_chain(phi)


def _actor(actor: Any) -> tuple[Chain, Chain, Draw]:
    """Return the actor's network, and the most likely and a drawn internal action of its output."""
    match actor:
        case GaussianActor():
            ending = (Tanh(),) if actor.bounded else ()
            std = np.exp(np.asarray(actor.log_std))
            return _network(actor.mean), Chain(ending), Gaussian(std, actor.bounded)
        case SquashedGaussianActor():
            d = actor.network.layers[-1].bias.shape[-1] // 2
            draw = SquashedGaussian(d, *LOG_STD)
            return _network(actor.network), Chain((Slice(0, d), Tanh())), draw
        case CategoricalActor():
            return _network(actor.logits), Chain((MostLikely(),)), Categorical(actor.actions)
        case ProductActor():
            product = actor.product
            places = np.ascontiguousarray(product.places.ravel())
            parts = LikeliestParts(places, product.exists, product.values, actor.bounded)
            std = np.exp(np.asarray(actor.log_std))
            return _network(actor.outputs), Chain((parts,)), CategoricalParts(parts, std)
        case _:
            raise EmbrlError(
                f"{type(actor).__name__} has no form outside of JAX; policies of vpg, ppo and sac "
                "have one"
            )


def _network(network: Network) -> Chain:
    below, above = _parts(network)
    return below.then(above)


def _parts(network: Network) -> tuple[Chain, Chain]:
    """Return the chain up to where a second input is added, and what follows."""
    if not isinstance(network, Joined):
        steps = mlp_steps(network)
        return Chain(steps[:1]), Chain(steps[1:])
    phi, own = Chain((Slice(0, network.m),)), Slice(network.m)
    below = Beside((phi, Chain((own, layer_step(network.own)))))
    above = Beside((phi, Chain((own, MeanOne()))))
    return Chain((below,)), Chain((above, *mlp_steps(network.network)))


def _second(network: Network) -> np.ndarray:
    """Return the weights of a second input, of what is added between both parts."""
    weights = np.asarray(network.beside)
    # phi(s), which comes first, takes nothing from it.
    return np.pad(weights, ((0, 0), (network.m, 0))) if isinstance(network, Joined) else weights


def _scorer(owner: Any, enter: Chain) -> PortableScorer:
    """Return what scores points of E: the critic, or the learned model.

    Args:
        owner: What scores them in JAX.
        enter: Steps from observations to embrl's form.
    """
    if isinstance(owner, ModelScorer) and isinstance(owner.T, EchoTransition):
        return _model(owner, enter)
    critic = getattr(owner, "critic", None)
    if not isinstance(critic, PointCritic):
        model = isinstance(owner, ModelScorer)
        who = f"the learned model {type(owner.T).__name__}" if model else type(owner).__name__
        raise EmbrlError(
            f"decoder.scorer must be critic, or model with embedding.head echo, outside of JAX, "
            f"got a policy that asks {who} before each action; train with decoder.kind nearest or "
            "softmax, or with sac and decoder.scorer critic, or act with embrl.load(RUN).policy()"
        )
    one, other = (jax.tree.map(operator.itemgetter(at), critic.networks) for at in range(2))
    (below, above), (other_below, other_above) = _parts(one), _parts(other)
    beside = np.stack([_second(one), _second(other)])
    return PortableCritic((below, other_below), beside, (above, other_above))


def _model(owner: ModelScorer, enter: Chain) -> PortableModel:
    model: Any = owner.T
    outcome, recall = np.asarray(owner.outcome.contributions[model.named]), None
    if owner.recall is not None:
        memory, raw = owner.recall.memory, owner.recall.raw
        outcome = outcome + np.asarray(memory.future_value)
        # Unused room stands at the end; one of it is kept, behind which nothing is looked up.
        states = np.asarray(memory.visits.state)
        used = slice(int(np.searchsorted(states, NO_STATE)) + 1)
        column = (Column(),) if raw.scalar else ()
        recall = VisitRecall(
            enter.then(Chain((*column, Cast("int64")))),
            Digits.of(np.asarray(raw.sizes)).strides,
            model.named,
            states[used].astype(np.int64),
            np.asarray(memory.visits.value)[used].astype(np.int64),
            np.asarray(memory.visits.weight)[used],
            np.asarray(memory.chain),
            model.memory_weight,
            owner.recall.k,
        )
    *hidden, last = mlp_steps(model.named_network)
    assert isinstance(last, Affine)
    gain = np.float32(ECHO_GAIN)
    return PortableModel(
        Chain(
            (
                Unstandardised(*map(plain, owner.norm)),
                *hidden,
                Affine(last.weight * gain, last.bias * gain),
            )
        ),
        outcome,
        float(np.expm1(np.float32(model.kappa))),
        float(np.exp(np.float32(model.log_delta))),
        recall,
    )

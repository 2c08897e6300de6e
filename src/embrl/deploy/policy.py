"""A trained policy in JAX as plain steps (`embrl.portable`)."""

import operator
from typing import Any

import jax
import numpy as np

from embrl.algorithms.actors import LOG_STD, CategoricalActor, GaussianActor, SquashedGaussianActor
from embrl.algorithms.critics import ModelScorer, PointCritic
from embrl.algorithms.networks import Joined, Network
from embrl.algorithms.policy import OverallPolicy
from embrl.core.errors import EmbrlError
from embrl.decoding import BestAction, Identity, NearestAction, SoftmaxAction, Wolpertinger
from embrl.decoding.learned_action import LearnedAction
from embrl.decoding.rescaled import Rescaled
from embrl.decoding.softmax_action import LIMIT
from embrl.deploy.forms import Forms
from embrl.embedding.encoders import ActionDecoder, StandardisedEncoder, WithState
from embrl.embedding.portable import limits, mlp_steps, phi_chain, undone
from embrl.portable import Beside, Chain
from embrl.portable.draws import ByDistance, Categorical, Draw, Gaussian, SquashedGaussian
from embrl.portable.judged import Judged
from embrl.portable.layers import Affine, First, Likeliest, MeanOne, Rest, Tanh
from embrl.portable.nearest import Nearest
from embrl.portable.policy import PortablePolicy
from embrl.portable.scaling import Original


def portable_policy(policy: OverallPolicy, forms: Forms) -> PortablePolicy:
    """The policy in plain steps.

    Arguments:
        forms: of the observations and actions that it is to take and give.

    Raises:
        EmbrlError: its f asks the learned model, or it has parts of a user's own; the message
            says which.
    """
    features = _features(policy.phi)
    f, f_draw = _f(policy)
    network, likeliest, draw = _actor(policy.actor)
    return PortablePolicy(
        features=forms.enter.then(features),
        parameters=network,
        likeliest=likeliest,
        draw=draw,
        f=f,
        f_draw=f_draw,
        judged=_judged(policy),
        leave=forms.leave,
    )


def _features(phi: Any) -> Chain:
    """What the policy sees of an observation."""
    match phi:
        case WithState():
            phi_side = _features(phi.phi).then(Chain((MeanOne(),)))
            return Chain((Beside((phi_side, _features(phi.raw))),))
        case StandardisedEncoder():
            return phi_chain(phi.encoder, phi.norm)
        case _:
            return phi_chain(phi)


def _actor(actor: Any) -> tuple[Chain, Chain, Draw]:
    """Its network, the likeliest internal action of what that says, and how one is drawn."""
    match actor:
        case GaussianActor():
            ending = (Tanh(),) if actor.bounded else ()
            std = np.exp(np.asarray(actor.log_std))
            return _network(actor.mean), Chain(ending), Gaussian(std, actor.bounded)
        case SquashedGaussianActor():
            d = actor.network.layers[-1].bias.shape[-1] // 2
            draw = SquashedGaussian(d, *LOG_STD)
            return _network(actor.network), Chain((First(d), Tanh())), draw
        case CategoricalActor():
            return _network(actor.logits), Chain((Likeliest(),)), Categorical(actor.actions)
        case _:
            raise EmbrlError(
                f"{type(actor).__name__} has no form outside of JAX: policies of vpg, ppo and sac "
                "have one"
            )


def _network(network: Network) -> Chain:
    below, above = _parts(network)
    return below.then(above)


def _parts(network: Network) -> tuple[Chain, Chain]:
    """Up to where a second input is added, and what follows."""
    if not isinstance(network, Joined):
        steps = mlp_steps(network)
        return Chain(steps[:1]), Chain(steps[1:])
    phi, own = Chain((First(network.m),)), Rest(network.m)
    layer = Affine(np.asarray(network.own.weight), np.asarray(network.own.bias))
    below = Beside((phi, Chain((own, layer))))
    above = Beside((phi, Chain((own, MeanOne()))))
    return Chain((below,)), Chain((above, *mlp_steps(network.network)))


def _second(network: Network) -> np.ndarray:
    """The weights of a second input, of what is added there."""
    weights = np.asarray(network.beside)
    # phi(s), which comes first, takes nothing from it.
    return np.pad(weights, ((0, 0), (network.m, 0))) if isinstance(network, Joined) else weights


def _f(policy: OverallPolicy) -> tuple[Chain, Draw | None]:
    table: Any = policy.table
    allowed = None if policy.allowed is None else np.asarray(policy.allowed)
    if allowed is not None and not isinstance(policy.f, NearestAction):
        raise EmbrlError(
            f"{type(policy.f).__name__} has no form outside of JAX where actions are closed: train "
            "with decoder.kind nearest, or act with embrl.load(RUN).policy()"
        )
    match policy.f:
        case Identity():
            return Chain(()), None
        case NearestAction():
            return Chain((Nearest(np.asarray(table), allowed),)), None
        case SoftmaxAction() as f:
            cold = np.exp(-np.clip(np.asarray(f.log_temperature), -LIMIT, LIMIT))
            table = np.asarray(table)
            return Chain((Nearest(table),)), ByDistance(table, float(np.float32(cold)))
        case LearnedAction() if isinstance(table, ActionDecoder):
            return undone(table), None
        case Rescaled() as f:
            return Chain((Original(limits(f.raw)),)), None
        case Wolpertinger() | BestAction():
            return Chain(()), None  # `_judged`
        case f:
            raise EmbrlError(
                f"{type(f).__name__} has no form outside of JAX: embrl's own decoders have one"
            )


def _judged(policy: OverallPolicy) -> Judged | None:
    f, judge = policy.f, policy.critic
    if not isinstance(f, Wolpertinger | BestAction):
        return None
    critic = getattr(judge, "critic", None)
    if not isinstance(critic, PointCritic):
        who = "the learned model" if isinstance(judge, ModelScorer) else type(judge).__name__
        raise EmbrlError(
            f"this policy asks {who} before each action (decoder.scorer model), which has no form outside "
            "of JAX: train with decoder.kind nearest or softmax, or with sac and decoder.scorer critic, or act "
            "with embrl.load(RUN).policy()"
        )
    twins = [jax.tree.map(operator.itemgetter(at), critic.networks) for at in range(2)]
    (below, above), (other_below, other_above) = map(_parts, twins)
    return Judged(
        table=np.asarray(policy.table),
        k=f.k if isinstance(f, Wolpertinger) else None,
        below=(below, other_below),
        beside=np.stack([_second(twin) for twin in twins]),
        above=(above, other_above),
    )

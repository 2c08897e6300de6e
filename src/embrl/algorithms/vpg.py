"""Vanilla policy gradient."""

import dataclasses

from jaxtyping import Array, Float

from embrl.algorithms.on_policy import ActorCritic, Metrics


@dataclasses.dataclass(frozen=True)
class VPG(ActorCritic):
    """Vanilla policy gradient with a learned baseline (Achiam 2018).

    It takes a few full-batch gradient steps of actor and critic after each rollout, as in the
    protocol of Pritz et al. (2021), A.4.2.
    """

    def surrogate(
        self,
        log_prob: Float[Array, "*batch"],
        before: Float[Array, "*batch"],
        advantage: Float[Array, "*batch"],
    ) -> tuple[Float[Array, ""], Metrics]:
        """Return - mean of log pi_i(u|x) A.

        Its gradient is the negative policy gradient. By Lemma 2 of Pritz et al. 2021 it is the
        overall policy's gradient as well.
        """
        del before
        return -(log_prob * advantage).mean(), {}

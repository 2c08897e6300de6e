"""Settings of task features."""

import dataclasses
from typing import Literal

from embrl.core.errors import SettingError, check_fraction, check_positive
from embrl.core.section import Section


@dataclasses.dataclass(frozen=True)
class TasksConfig(Section):
    """Networks B and F of tasks, and their training."""

    features: Literal["laplacian", "forward_backward"] = "laplacian"
    """Training of B and F. laplacian: slowest features of the walk of the data, and their sums over
    time under the policy of the data; a task's policy is one step of improvement on it.
    forward_backward: F depends on the task and is of its own policy (Touati & Ollivier 2021)."""
    dim: int = 256
    """Dimensions k of tasks."""
    hidden: int = 128
    """Width of the hidden layers, two in F and, with forward_backward, two in B."""
    gamma: float = 0.97
    """Discount factor of the tasks, 0 to below 1; .9 suits forward_backward better."""
    gradient_steps: int = 3000
    """Gradient steps."""
    batch_size: int = 256
    """Transitions in a gradient step."""
    candidates: int = 16
    """Random actions among which the policy of a task chooses in training (forward_backward); later
    it chooses among all."""
    learning_rate: float = 2e-3
    """Initial learning rate of Adam; it falls to zero along half a cosine."""
    orthonormality: float = 1.0
    """Weight of the loss that keeps the features B uncorrelated (forward_backward)."""

    def validate(self) -> None:
        """Check all settings.

        Raises:
            SettingError: a value is out of range.
        """
        for name in ("dim", "hidden", "gradient_steps", "candidates", "learning_rate"):
            check_positive(f"tasks.{name}", getattr(self, name))
        check_fraction("tasks.gamma", self.gamma, one=False)
        if not self.orthonormality >= 0:
            raise SettingError("tasks.orthonormality", "at least 0", self.orthonormality)
        if self.batch_size < 2:
            raise SettingError("tasks.batch_size", "at least 2", self.batch_size)
        if self.features not in ("forward_backward", "laplacian"):
            raise SettingError(
                "tasks.features", "forward_backward or laplacian", repr(self.features)
            )

"""Counters of a server, as text that Prometheus reads."""

from collections import Counter

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Upper bounds of the histogram of response times."""


class Metrics:
    """Requests by path and status, their times, and batches."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._within = [0] * len(SECONDS)
        self._count, self._seconds = 0, 0.0
        self._batches = self._rows = 0

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests[path, status] += 1
        self._count += 1
        self._seconds += seconds
        for at, bound in enumerate(SECONDS):
            self._within[at] += seconds <= bound

    def batch(self, rows: int) -> None:
        """Count observations that were answered together."""
        self._batches += 1
        self._rows += rows

    def text(self) -> str:
        """Return all counts."""
        lines = ["# TYPE embrl_requests_total counter"]
        for (path, status), count in sorted(self._requests.items()):
            lines.append(f'embrl_requests_total{{path="{path}",status="{status}"}} {count}')
        lines.append("# TYPE embrl_request_seconds histogram")
        for bound, count in zip(SECONDS, self._within, strict=True):
            lines.append(f'embrl_request_seconds_bucket{{le="{bound:g}"}} {count}')
        lines += [
            f'embrl_request_seconds_bucket{{le="+Inf"}} {self._count}',
            f"embrl_request_seconds_sum {self._seconds:.6f}",
            f"embrl_request_seconds_count {self._count}",
            "# TYPE embrl_batches_total counter",
            f"embrl_batches_total {self._batches}",
            "# TYPE embrl_observations_total counter",
            f"embrl_observations_total {self._rows}",
        ]
        return "\n".join(lines) + "\n"

"""What a row of the table of metrics says."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from sfu.histogram import Distribution
from sfu.shell.ops.snapshot import Snapshot

Labels = tuple[str, ...]
MetricValue = float | Distribution
MetricValues = Iterable[tuple[Labels, MetricValue]]


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """One metric of the table."""

    kind: Literal["gauge", "counter", "histogram"]
    name: str
    help: str
    read: Callable[[Snapshot], MetricValue | MetricValues]
    """Returns the value, or with labels one value for each label set. The value of a histogram is a
    `Distribution`."""
    labels: Labels = ()

    def values(self, snapshot: Snapshot) -> MetricValues:
        """Return the label sets and their values."""
        read = self.read(snapshot)
        return [((), read)] if isinstance(read, int | float | Distribution) else read

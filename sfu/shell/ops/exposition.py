"""The metrics of a `Snapshot` in Prometheus's text format, written by its client library."""

from collections.abc import Iterable
from itertools import accumulate
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from sfu.histogram import Distribution
from sfu.shell.ops.metric_definition import MetricDefinition
from sfu.shell.ops.metrics import METRICS
from sfu.shell.ops.snapshot import Snapshot

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""The text format. OpenMetrics does not allow gauges with names that end in ``_total``, as some of ours do."""


class _Families(Collector):
    """Gives a snapshot to the library in its own types."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        """Return the metrics in the order of the table."""
        return [family(definition, self._snapshot) for definition in METRICS]


def family(definition: MetricDefinition, snapshot: Snapshot) -> Metric:
    """Return one metric with all its label sets and values."""
    if definition.kind == "histogram":
        histogram = HistogramMetricFamily(definition.name, definition.help, labels=definition.labels)
        for labels, value in definition.values(snapshot):
            assert isinstance(value, Distribution), f"{definition.name} is a histogram"
            bounds = [*map(floatToGoString, value.bounds), "+Inf"]
            buckets = list(zip(bounds, map(float, accumulate(value.counts)), strict=True))
            histogram.add_metric(labels, buckets, value.total)
        return histogram
    make = CounterMetricFamily if definition.kind == "counter" else GaugeMetricFamily
    metric = make(definition.name, definition.help, labels=definition.labels)
    for labels, value in definition.values(snapshot):
        assert not isinstance(value, Distribution), f"{definition.name} is not a histogram"
        metric.add_metric(labels, value)
    return metric


def exposition(snapshot: Snapshot) -> bytes:
    """Return the text for Prometheus: the metrics of the table, then those of the process and of Python.

    A line takes 10 µs, so the caller should run this in a thread.
    """
    return generate_latest(_Families(snapshot)) + generate_latest(_PROCESS)


def _process_registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


_PROCESS: Final = _process_registry()

"""Export of metrics in the data model of Prometheus."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from mqguard.telemetry.metrics import MetricKind, Metrics

_ESCAPED = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class PrometheusCollector(Collector):
    """A collector for a registry of `prometheus_client`, which reads the metrics only on request.

    Attributes:
        registry: The registry; it contains only these metrics.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield every metric."""
        for family in self._metrics:
            make = CounterMetricFamily if family.kind is MetricKind.COUNTER else GaugeMetricFamily
            metric = make(family.name, family.help, labels=family.labels)
            for values, number in family:
                metric.add_metric(values, number)
            yield metric

    def samples(self) -> dict[str, str]:
        """Return every number as text, by its name and labels in Prometheus' notation.

        A key looks like `mqguard_requests_refused_total{stage="authentication",reason="throttled"}`.
        """
        return {
            _key(sample.name, sample.labels): _number(sample.value)
            for metric in self.registry.collect()
            for sample in metric.samples
        }


def _key(name: str, labels: dict[str, str]) -> str:
    if not labels:
        return name
    pairs = [f'{label}="{value.translate(_ESCAPED)}"' for label, value in labels.items()]
    return f"{name}{{{','.join(pairs)}}}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.3f}"

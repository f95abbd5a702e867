"""The text that ``/metrics`` answers: the server's counters as Prometheus reads them.

Pure. Imported only where metrics are asked for, since the package takes 70 ms to load.
Source: the Prometheus text exposition format, by the package prometheus-client; the names are in
docs/operations.md, and held there by tests/signal_server/test_metrics.py.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from signal_server.messages import PROTOCOL
from signal_server.metrics import Counters, Histogram

__all__ = ["CONTENT_TYPE", "Exposition"]

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Exposition(Collector):
    """The metrics of one server, and of its process.

    Args:
        counters: Read when they are asked for.
        census: Returns the mailboxes that this process holds, by state.
        is_draining: Whether the server is about to end.
        is_available: Whether its store answers.
        version: Of the program.
    """

    def __init__(
        self,
        counters: Counters,
        *,
        census: Callable[[], Mapping[str, int]],
        is_draining: Callable[[], bool],
        is_available: Callable[[], bool],
        version: str,
    ) -> None:
        self._counters = counters
        self._census = census
        self._is_draining = is_draining
        self._is_available = is_available
        self._version = version
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        """Return the text, in version 0.0.4 of the format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; called by the package."""
        yield from self._gauges()
        yield from self._counted()
        counters = self._counters
        yield _histogram(
            "rtcsend_pairing_wait_seconds",
            "From the opening of a mailbox to its second side.",
            counters.waits,
        )
        yield _histogram("rtcsend_message_bytes", "Bodies of messages.", counters.messages)
        yield _histogram(
            "rtcsend_loop_lag_seconds", "How late the event loop was.", counters.loop_lag
        )

    def _gauges(self) -> Iterator[Metric]:
        counters = self._counters
        build = GaugeMetricFamily("rtcsend_build_info", "Always 1.", labels=("version", "protocol"))
        build.add_metric((self._version, str(PROTOCOL)), 1)
        yield build
        mailboxes = GaugeMetricFamily(
            "rtcsend_mailboxes", "Mailboxes of this process, by state.", labels=("state",)
        )
        for state, count in self._census().items():
            mailboxes.add_metric((state,), count)
        yield mailboxes
        for name, text, value in (
            ("rtcsend_sockets", "Open WebSockets.", counters.sockets),
            ("rtcsend_connections", "Open TCP connections.", counters.connections),
            ("rtcsend_queued_bytes", "Frames that wait for slow readers.", counters.queued_bytes),
            ("rtcsend_draining", "1 while the server is about to end.", self._is_draining()),
            ("rtcsend_store_available", "1 while the store answers.", self._is_available()),
        ):
            yield GaugeMetricFamily(name, text, value=float(value))

    def _counted(self) -> Iterator[Metric]:
        counters = self._counters
        yield CounterMetricFamily(
            "rtcsend_mailboxes_opened", "Mailboxes opened.", value=counters.mailboxes_opened
        )
        yield CounterMetricFamily(
            "rtcsend_pairings", "Mailboxes that a second side came to.", value=counters.pairings
        )
        for name, text, label, values in (
            ("rtcsend_mailboxes_ended", "Mailboxes that ended.", "outcome", counters.endings),
            ("rtcsend_refusals", "Errors that were sent.", "code", counters.refusals),
            ("rtcsend_limits_hit", "Clients that ran into a limit.", "limit", counters.limits),
            ("rtcsend_reports", "How clients say they were connected.", "route", counters.reports),
        ):
            yield _by_label(name, text, label, values.items())


def _by_label(
    name: str, text: str, label: str, values: Iterable[tuple[str, int]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=(label,))
    for key, value in values:
        family.add_metric((key,), value)
    return family


def _histogram(name: str, text: str, histogram: Histogram) -> HistogramMetricFamily:
    """Return it as Prometheus has it: each place counts everything up to its bound."""
    bounds = [str(bound) for bound in histogram.bounds] + ["+Inf"]
    buckets = list(zip(bounds, map(float, accumulate(histogram.counts)), strict=True))
    family = HistogramMetricFamily(name, text)
    family.add_metric([], buckets, sum_value=histogram.total)
    return family

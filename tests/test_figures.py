"""Totals outlive workers; rates and latencies are of the time since they were last asked."""

from __future__ import annotations

import msgspec

from edge_agent.metrics import Counters, Histogram, quantile_ms
from edge_agent.processes.wire import PipelineReport
from edge_agent.reporting.figures import PipelineFigures


def report(passes: int, latencies_ms: list[float]) -> PipelineReport:
    histogram = Histogram()
    for latency_ms in latencies_ms:
        histogram.observe_ns(int(latency_ms * 1e6))
    return PipelineReport(
        pipeline="camera",
        state="running",
        detail="",
        stage="",
        stage_since_mono_ns=0,
        totals={"verdicts_pass": passes, "dropped_overtaken": 1},
        latency_counts={"total": histogram.counts},
        model="",
        model_version="",
        model_sha256="",
        accelerator="",
    )


def test_rates_and_latencies_are_of_the_time_since_they_were_asked() -> None:
    pipeline = PipelineFigures(mono_s=0.0)
    pipeline.add(report(10, [5.0] * 10))
    assert pipeline.figures(2.0).rate_hz == 5.0
    pipeline.add(report(12, [5.0] * 10 + [50.0] * 2))
    figures = pipeline.figures(4.0)
    assert figures.rate_hz == 1.0
    assert 50 <= (figures.p50_ms or 0.0) <= 60
    assert figures.totals == {"verdicts_pass": 12, "dropped_overtaken": 1}


def test_totals_go_on_from_where_a_lost_worker_left_them() -> None:
    pipeline = PipelineFigures(mono_s=0.0)
    pipeline.add(report(10, [5.0] * 10))
    pipeline.worker_lost()
    pipeline.count("verdicts_error")
    pipeline.add(report(3, [5.0] * 3))
    figures = pipeline.figures(1.0)
    assert figures.totals == {"verdicts_pass": 13, "verdicts_error": 1, "dropped_overtaken": 2}
    assert figures.rate_hz == 14.0


def test_figures_between_a_lost_worker_and_the_first_item_of_the_next_have_no_latency() -> None:
    pipeline = PipelineFigures(mono_s=0.0)
    pipeline.add(report(10, [5.0] * 10))
    pipeline.figures(1.0)
    pipeline.worker_lost()
    assert pipeline.figures(2.0).p50_ms is None
    loading = report(0, [])
    pipeline.add(msgspec.structs.replace(loading, latency_counts={}))
    assert pipeline.figures(3.0).p50_ms is None
    pipeline.add(report(3, [5.0] * 3))
    assert pipeline.figures(4.0).p50_ms is not None


def test_a_pipeline_that_begins_anew_before_its_first_verdict_has_no_latency() -> None:
    pipeline = PipelineFigures(mono_s=0.0)
    running = msgspec.structs.replace(report(0, []), totals={})
    pipeline.add(running)
    pipeline.figures(1.0)
    pipeline.add(msgspec.structs.replace(running, latency_counts={}))
    assert pipeline.figures(2.0).p50_ms is None


def test_no_verdict_has_no_latency() -> None:
    figures = PipelineFigures(mono_s=0.0).figures(1.0)
    assert (figures.rate_hz, figures.p50_ms, figures.p99_ms) == (0.0, None, None)


def test_a_quantile_is_the_bound_of_its_bucket() -> None:
    histogram = Histogram()
    assert quantile_ms(histogram.counts, 0.5) is None
    for _ in range(99):
        histogram.observe_ns(1_000_000)
    histogram.observe_ns(500_000_000)
    half, most, all_but_one = (quantile_ms(histogram.counts, q) or 0.0 for q in (0.5, 0.99, 0.999))
    assert 1.0 <= half <= 1.2
    assert 1.0 <= most <= 1.2
    assert 500 <= all_but_one <= 600


def test_a_duration_beyond_the_last_bucket_is_counted_there() -> None:
    histogram = Histogram()
    histogram.observe_ns(10**15)
    assert (quantile_ms(histogram.counts, 0.5) or 0.0) > 9000


def test_counters_add_up() -> None:
    counters = Counters()
    counters.add("a")
    counters.add("a", 2)
    assert counters.totals() == {"a": 3}

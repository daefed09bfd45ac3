"""What Prometheus reads, as its own parser understands it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import parser

from edge_agent.metrics import Histogram
from edge_agent.serving import families
from edge_agent.serving.exposition import Family, Samples, text
from edge_agent.serving.process_figures import process_figures

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def parsed(samples: Samples) -> list[tuple[str, dict[str, str], float]]:
    (family,) = parser.text_string_to_metric_families(text([samples]).decode())
    return [(each.name, each.labels, each.value) for each in family.samples]


def test_a_label_may_hold_anything() -> None:
    samples = Samples(Family("a_total", "counter", ("label",), "A"))
    samples.add(3, 'quote " backslash \\ line\nbreak {x="y"}, ä')
    assert parsed(samples) == [
        ("a_total", {"label": 'quote " backslash \\ line\nbreak {x="y"}, ä'}, 3)
    ]


def test_a_histogram_has_cumulative_buckets_in_seconds() -> None:
    histogram = Histogram()
    for duration_ms in (0.05, 1.0, 1.0, 100.0, 60_000.0):
        histogram.observe_ns(int(duration_ms * 1e6))
    samples = Samples(Family("h", "histogram", ("stage",), "H"))
    samples.add_histogram(histogram.counts, histogram.sum_ms, "run")
    found = parsed(samples)
    buckets = {labels["le"]: value for name, labels, value in found if name == "h_bucket"}
    values = list(buckets.values())
    assert values == sorted(values)
    assert buckets["+Inf"] == 5
    assert values[-2] == 4  # all but the minute
    below_1_ms = [count for le, count in buckets.items() if le != "+Inf" and float(le) < 0.001]
    assert set(below_1_ms) == {1}
    assert ("h_count", {"stage": "run"}, 5) in found
    assert next(value for name, _, value in found if name == "h_sum") == pytest.approx(60.10205)


def test_a_family_without_a_sample_is_left_out() -> None:
    assert text([Samples(families.OEE)]) == b""


def test_names_and_labels_are_as_prometheus_wants_them() -> None:
    for family in families.ALL:
        assert re.fullmatch(r"edge_agent_[a-z_]+", family.name)
        assert (family.kind == "counter") == family.name.endswith("_total")
    assert len({family.name for family in families.ALL}) == len(families.ALL)


def test_the_page_has_every_metric() -> None:
    row = re.compile(r"^\| `(edge_agent_\w+)` \| (\w+) \| ([^|]*) \|", re.MULTILINE)
    rows = row.findall(PAGE.read_text())
    documented = [(name, kind, labels.strip()) for name, kind, labels in rows]
    assert documented == [
        (family.name, family.kind, ", ".join(f"`{label}`" for label in family.labels))
        for family in families.ALL
    ]


def test_figures_of_a_process_are_those_of_the_system() -> None:
    code = """
import sys, threading
held = []
for line in sys.stdin:
    held.append(open("/dev/null"))
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    print(flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        found = []
        for _ in range(2):
            child.stdin.write(b"\n")
            child.stdin.flush()
            child.stdout.readline()
            found.append(process_figures(child.pid))
        status = Path(f"/proc/{child.pid}/status").read_text()
        child.kill()
    before, now = found
    assert before is not None
    assert now is not None
    assert (before.threads, now.threads) == (2, 3)
    assert now.descriptors == before.descriptors + 1
    resident_kb = int(re.findall(r"VmRSS:\s+(\d+)", status)[0])
    assert now.resident_bytes == pytest.approx(resident_kb * 1024, rel=0.2)


def test_a_process_that_is_gone_has_no_figures() -> None:
    assert process_figures(2**22 + 1) is None

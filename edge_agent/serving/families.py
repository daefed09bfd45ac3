"""Every metric by name; docs/metrics.md has the same table, and a test compares them."""

from __future__ import annotations

from edge_agent.serving.exposition import Family

PREFIX = "edge_agent_"
OF_PIPELINE = ("pipeline",)
OF_SHIFT = ("pipeline", "shift")


def _family(name: str, kind: str, labels: tuple[str, ...], text: str) -> Family:
    return Family(PREFIX + name, kind, labels, text)  # type: ignore[arg-type]


INFO = _family("info", "gauge", ("device", "version"), "Always 1")
READY = _family("ready", "gauge", (), "1: no check fails")
CHECK = _family("check_ok", "gauge", ("check", "pipeline"), "0: the check fails")
UPTIME = _family("uptime_seconds", "gauge", (), "Since the agent started")

STAGE = _family(
    "stage_seconds",
    "histogram",
    ("pipeline", "stage"),
    "Time in each stage; a restarted worker counts from 0",
)
VERDICTS = _family("verdicts_total", "counter", ("pipeline", "outcome"), "Verdicts")
DROPPED = _family(
    "dropped_total", "counter", ("pipeline", "reason"), "Items captured and not inspected"
)
BAD_INPUT = _family(
    "bad_input_total", "counter", ("pipeline", "reason"), "Inputs that could not be used"
)
EVENTS = _family("events_total", "counter", ("pipeline", "event"), "Whatever else is counted")
STATE = _family("pipeline_state", "gauge", ("pipeline", "state"), "1: the state it is in")
ACCELERATOR = _family(
    "accelerator", "gauge", ("pipeline", "accelerator", "model", "version"), "1: what runs it"
)
EFFECTIVE = _family(
    "accelerator_effective",
    "gauge",
    ("pipeline", "requested", "effective", "reason"),
    "1: the model runs on what the config asks for, 0: it does not",
)
SHARE = _family("accelerator_share", "gauge", OF_PIPELINE, "Of the operators, on it, 0..1")
FALLBACKS = _family(
    "accelerator_fallbacks_total", "counter", OF_PIPELINE, "How often the model came to run without"
)
RESTARTS = _family("worker_restarts_total", "counter", OF_PIPELINE, "Workers that were lost")

CONNECTED = _family("broker_connected", "gauge", (), "1: the broker has accepted the agent")
ACKED = _family("broker_acknowledged_age_seconds", "gauge", (), "Since the broker last answered")
BROKER_EVENTS = _family("broker_events_total", "counter", ("event",), "What the connection met")
DEPTH = _family("outbox_depth", "gauge", (), "Verdicts not yet acknowledged")
AGE = _family("outbox_oldest_age_seconds", "gauge", (), "Age of the oldest verdict on the disk")
PARKED = _family("outbox_parked", "gauge", (), "Verdicts that the broker refused")
OUTBOX_BYTES = _family("outbox_bytes", "gauge", (), "What the verdicts on the disk take")
OUTBOX_EVENTS = _family("outbox_events_total", "counter", ("event",), "What was given up, and why")
DISK_FREE = _family("state_free_bytes", "gauge", (), "Room left for the state folder")

UPLOAD_EVENTS = _family("upload_events_total", "counter", ("event",), "What became of uploads")
UPLOAD_WAITING = _family("upload_waiting", "gauge", (), "Items of evidence that wait to be sent")
UPLOAD_TODAY = _family("upload_today_bytes", "gauge", (), "Sent on this day of UTC")

RESIDENT = _family(
    "process_resident_bytes", "gauge", ("process",), "Memory; shared pages count in each process"
)
DESCRIPTORS = _family("process_descriptors", "gauge", ("process",), "Open files and sockets")
THREADS = _family("process_threads", "gauge", ("process",), "Threads")
CPU = _family("process_cpu_seconds_total", "counter", ("process",), "CPU time")

PARTS = _family("shift_parts", "gauge", OF_SHIFT, "Parts judged in this shift")
GOOD = _family("shift_good", "gauge", OF_SHIFT, "Of them, good by their last verdict")
FIRST_PASS = _family("shift_first_pass_yield", "gauge", OF_SHIFT, "Share good at once, 0..1")
DOWN = _family("shift_down_seconds", "gauge", OF_SHIFT, "How long the line stood")
PLANNED = _family("shift_planned_seconds", "gauge", OF_SHIFT, "Planned busy time so far")
CYCLE = _family("shift_cycle_seconds", "gauge", OF_SHIFT, "Mean from part to part")
AVAILABILITY = _family("shift_availability", "gauge", OF_SHIFT, "ISO 22400-2, 0..1")
PERFORMANCE = _family("shift_performance", "gauge", OF_SHIFT, "ISO 22400-2: effectiveness")
QUALITY = _family("shift_quality", "gauge", OF_SHIFT, "ISO 22400-2: quality ratio, 0..1")
OEE = _family("shift_oee", "gauge", OF_SHIFT, "ISO 22400-2: OEE index")
DEFECTS = _family(
    "shift_defects", "gauge", ("pipeline", "shift", "defect_class"), "First verdicts by class"
)

ALL: tuple[Family, ...] = tuple(each for each in list(globals().values()) if type(each) is Family)

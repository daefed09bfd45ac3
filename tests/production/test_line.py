"""One line through restarts, set clocks and changes of shift; files that survive a power cut."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from edge_agent.config import parse_json
from edge_agent.durable import write_file
from edge_agent.production import state_file
from edge_agent.production.line import Line, LineState, ShiftFigures
from edge_agent.production.lines import Lines
from edge_agent.production.options import (
    LineOptions,
    ProductionOptions,
    ShiftOptions,
)
from edge_agent.production.shifts import Calendar
from edge_agent.reporting.topics import Topics
from tests.agents import DEVICE
from tests.alerts import Told, about
from tests.test_schemas import check
from tests.verdicts import verdict

if TYPE_CHECKING:
    from pathlib import Path

S = 10**9
CALENDAR = Calendar(
    ProductionOptions(
        shifts=(
            ShiftOptions(name="early", start="06:00", end="14:00"),
            ShiftOptions(name="late", start="14:00", end="22:00"),
        )
    )
)
LINE = LineOptions(ideal_cycle_s=10.0, down_after_s=60.0)


def ns(text: str) -> int:
    return int(dt.datetime.fromisoformat(f"2026-01-14T{text}+00:00").timestamp()) * S


def ended(events: list[Any]) -> list[str]:
    return [event.shift.name for event in events if isinstance(event, ShiftFigures)]


def now(line: Line, utc_ns: int) -> ShiftFigures:
    figures = line.figures(utc_ns)
    assert figures is not None
    return figures


def test_a_line_that_is_new_in_the_middle_of_a_shift_was_not_down_before() -> None:
    line = Line(LINE, CALENDAR, LineState())
    line.tick(ns("09:00:00"), 0)
    line.part(verdict(), ns("09:00:30"), 30 * S)
    figures = now(line, ns("09:01:00"))
    assert (figures.planned_s, figures.down_s) == (60, 0)


def test_a_restart_in_a_shift_goes_on_with_it_and_the_time_between_was_down() -> None:
    line = Line(LINE, CALENDAR, LineState())
    line.part(verdict(1, part_id="P1"), ns("09:00:00"), 0)
    text = msgspec.json.encode(line.state)
    line = Line(LINE, CALENDAR, msgspec.json.decode(text, type=LineState))
    line.part(verdict(2, part_id="P1"), ns("09:10:00"), 5 * S)
    line.part(verdict(3, part_id="P2"), ns("09:10:30"), 35 * S)
    figures = now(line, ns("09:10:30"))
    assert (figures.tally.parts, figures.tally.repeats) == (2, 1)
    # A repeat is no new part, and a sign of life all the same: the line stood until it came.
    assert (figures.down_s, figures.stops) == (600, 1)


def test_a_line_that_shows_the_same_parts_again_and_again_is_not_down() -> None:
    line = Line(LINE, CALENDAR, LineState())
    for number in range(360):
        line.part(
            verdict(number, part_id=f"P{number % 3}"),
            ns("09:00:00") + number * 10 * S,
            number * 10 * S,
        )
    at_ns = ns("09:59:50")
    figures = now(line, at_ns)
    assert (figures.tally.parts, figures.tally.good, figures.tally.repeats) == (3, 3, 357)
    assert (figures.down_s, figures.stops, figures.oee.availability) == (0, 0, 1)
    assert figures.cycle_s == 10
    assert figures.oee.performance == pytest.approx(10 * 3 / 3590)
    line.tick(at_ns + 61 * S, 3651 * S)
    assert now(line, at_ns + 61 * S).is_down, "nothing at all comes"


def test_a_repeat_between_two_parts_shortens_no_cycle_and_hides_no_stop() -> None:
    line = Line(LINE, CALENDAR, LineState())
    at_s = {"P1": 0, "P2": 40, "again P1": 70, "P3": 100, "again P2": 200, "P4": 230}
    for part, second in at_s.items():
        part_id = part.removeprefix("again ")
        line.part(verdict(1, part_id=part_id), ns("09:00:00") + second * S, second * S)
    figures = now(line, ns("09:03:50"))
    # P1 to P2 40 s, P2 to P3 60 s; between P3 and P4 it stood for 100 s.
    assert (figures.cycle_s, figures.down_s, figures.stops) == (50, 100, 1)


def test_a_restart_after_the_end_of_a_shift_closes_it_and_begins_the_next_at_its_start() -> None:
    line = Line(LINE, CALENDAR, LineState())
    line.part(verdict(1), ns("13:59:00"), 0)
    line = Line(LINE, CALENDAR, line.state)
    closed = line.tick(ns("14:10:00"), 0)
    assert ended(closed) == ["early"]
    assert closed[0].at_ns == ns("14:00:00")
    figures = now(line, ns("14:10:00"))
    assert (figures.planned_s, figures.down_s, figures.tally.parts) == (600, 600, 0)


def test_between_shifts_there_are_no_figures_and_parts_count_for_none() -> None:
    line = Line(LINE, CALENDAR, LineState())
    line.tick(ns("21:59:00"), 0)
    assert ended(line.part(verdict(), ns("22:30:00"), 1860 * S)) == ["late"]
    assert line.figures(ns("22:30:00")) is None


def test_a_clock_that_is_set_within_a_shift_makes_no_stop() -> None:
    line = Line(LINE, CALENDAR, LineState())
    line.part(verdict(1), ns("09:00:00"), 0)
    # 10 s later the clock is an hour ahead.
    line.part(verdict(2), ns("10:00:10"), 10 * S)
    figures = now(line, ns("10:00:10"))
    assert (figures.down_s, figures.cycle_s) == (0, 10)
    # And it is set back again.
    line.part(verdict(3), ns("09:00:20"), 20 * S)
    assert now(line, ns("09:00:20")).cycle_s == 10


def test_a_clock_that_is_set_into_another_shift_begins_it_anew() -> None:
    line = Line(LINE, CALENDAR, LineState())
    line.part(verdict(1), ns("09:00:00"), 0)
    closed = line.tick(ns("15:00:10"), 10 * S)
    assert ended(closed) == ["early"]
    assert closed[0].planned_s == 10
    figures = now(line, ns("15:00:10"))
    assert (figures.from_ns, figures.planned_s) == (ns("15:00:10"), 0)


def test_an_hour_in_which_the_camera_is_away_is_down_unless_the_config_says_otherwise() -> None:
    for error_is_down, down_s in ((True, 20), (False, 0)):
        options = LINE.model_copy(update={"error_is_down": error_is_down})
        line = Line(options, CALENDAR, LineState())
        line.part(verdict(1), ns("09:00:00"), 0)
        line.trouble(ns("09:00:10"), 10 * S, in_error=True)
        line.trouble(ns("09:00:30"), 30 * S, in_error=False)
        line.part(verdict(2), ns("09:00:40"), 40 * S)
        assert now(line, ns("09:00:40")).down_s == down_s


def test_figures_of_a_running_stop_count_it() -> None:
    line = Line(LINE, CALENDAR, LineState())
    line.part(verdict(1), ns("09:00:00"), 0)
    line.tick(ns("09:01:00"), 60 * S)
    assert not now(line, ns("09:01:00")).is_down
    line.tick(ns("09:01:01"), 61 * S)
    figures = now(line, ns("09:01:01"))
    assert (figures.is_down, figures.stops, figures.down_s) == (True, 1, 61)


# ---------------------------------------------------------------------- files, and all lines


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"shift": 1}', b"\x00" * 100])
def test_a_damaged_file_begins_anew(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "camera.json"
    path.write_bytes(text)
    assert state_file.read(path) == LineState()


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "lines" / "camera.json"
    write_file(path, b'{"seen_ns": 1}')
    # What a power cut in the middle of the next write leaves behind.
    path.with_name(".camera.json.part").write_bytes(b'{"seen_')
    assert state_file.read(path).seen_ns == 1
    write_file(path, b'{"seen_ns": 2}')
    assert state_file.read(path).seen_ns == 2


class Plant:
    """All lines of a config, with what they publish and a clock that the test turns."""

    def __init__(self, folder: Path) -> None:
        self.at_ns = ns("09:00:00")
        self.set_by_ns = 0
        self.shown: dict[str, bytes] = {}
        charts = [about("chart", chart=chart) for chart in ("score", "reject")]
        self.told = Told(folder, *charts)
        self.lines = Lines(
            Topics("root", "gw1"),
            self.shown.__setitem__,
            self.told.alerts,
            folder / "lines",
            utc_ns=self.utc_ns,
            mono_ns=lambda: self.at_ns,
        )

    def utc_ns(self) -> int:
        return self.at_ns + self.set_by_ns

    def configure(self, *, start: str = "06:00", cameras: int = 1, **line: Any) -> None:
        belt = {"kind": "simulator", "scene": "conveyor"}
        motor = {"kind": "simulator", "scene": "motor"}
        pipeline = {"family": "qc", "model": "m", "source": belt, "line": line}
        machine = {"family": "pdm", "model": "m", "source": motor}
        production = {"shifts": [{"name": "early", "start": start, "end": "14:00"}]}
        tree = {"device": DEVICE, "production": production}
        tree["pipelines"] = dict.fromkeys(["camera"][:cameras], pipeline) | {"motor": machine}
        self.lines.configure(parse_json(json.dumps(tree).encode()))

    def make(self, *scores: float) -> None:
        for score in scores:
            self.lines.decided(verdict(score=score))

    def end(self) -> None:
        self.lines.close()
        self.told.alerts.close()


BASELINE = (0.0, 1.0) * 5


def test_shifts_are_published_as_their_schema_says_and_the_last_one_stays(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    plant.configure(ideal_cycle_s=10.0)
    plant.lines.step(0.0, lambda _name: "")
    plant.lines.decided(verdict(1, "fail", label="dent"))
    plant.lines.decided(verdict(2, pipeline="motor", family="pdm"))
    plant.at_ns += 20 * S
    plant.lines.step(100.0, lambda _name: "")
    shift = check("shift", plant.shown["root/qc/camera/shift"])
    assert (shift["parts"], shift["rejects"], shift["top_defect"]) == (1, 1, "dent")
    assert (shift["planned_s"], shift["performance"], shift["oee"]) == (20.0, 0.5, 0.0)
    assert (shift["closed"], shift["shift"], shift["shift_date"]) == (False, "early", "2026-01-14")
    assert "root/qc/camera/last_shift" not in plant.shown
    plant.at_ns = ns("14:00:01")
    plant.lines.step(200.0, lambda _name: "")
    last = check("shift", plant.shown["root/qc/camera/last_shift"])
    assert (last["closed"], last["parts"]) == (True, 1)
    assert list(plant.shown) == ["root/qc/camera/shift", "root/qc/camera/last_shift"]


def test_figures_are_on_the_disk_after_a_stop_and_another_config_keeps_them(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    plant.configure(ideal_cycle_s=10.0)
    plant.lines.start()
    plant.lines.decided(verdict(1))
    plant.configure(ideal_cycle_s=20.0)
    plant.lines.decided(verdict(2))
    plant.lines.close()
    again = Plant(tmp_path)
    again.configure()
    again.lines.decided(verdict(3))
    assert again.lines.figures()["camera"].tally.parts == 3


@pytest.mark.parametrize("saved", [False, True])
def test_a_pipeline_that_leaves_and_comes_back_goes_on_counting(
    tmp_path: Path, *, saved: bool
) -> None:
    plant = Plant(tmp_path)
    plant.configure()
    plant.lines.decided(verdict(1))
    plant.configure(cameras=0)
    plant.lines.decided(verdict(2))  # what was under way
    plant.lines.decided(verdict(7, family="pdm"))  # a machine of that name
    assert plant.lines.figures() == {}
    if saved:
        plant.lines._save()
    plant.configure()
    plant.lines.decided(verdict(3))
    assert plant.lines.figures()["camera"].tally.parts == 3


def test_a_stop_writes_the_figures_of_a_pipeline_that_has_left(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    plant.configure()
    plant.lines.start()
    plant.lines.decided(verdict(1))
    plant.configure(cameras=0)
    plant.lines.close()
    again = Plant(tmp_path)
    again.configure()
    again.lines.decided(verdict(2))
    assert again.lines.figures()["camera"].tally.parts == 2


def test_a_disk_that_refuses_stops_no_figures(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    plant = Plant(blocked / "lines")
    plant.configure()
    plant.lines.start()
    plant.lines.decided(verdict(1))
    plant.lines.close()
    assert plant.lines.figures()["camera"].tally.parts == 1


def test_a_chart_tells_an_alert_of_its_kind(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    plant.configure(score_chart={"parts": 1, "baseline": 10})
    plant.make(*BASELINE, 9.0, 9.0)
    (alert,) = plant.told.heard()
    check("alert", msgspec.json.encode(alert))
    assert (alert["kind"], alert["alert"], alert["score"]) == ("chart", "raised", 9.0)
    # Limits: mean 0.5, moving range 1, sigma 1 / 1.128.
    assert alert["threshold"] == pytest.approx(0.5 + 3 / 1.128)


def test_an_alarm_keeps_its_id_through_a_restart_and_ends_with_another_model(
    tmp_path: Path,
) -> None:
    plant = Plant(tmp_path)
    plant.configure(score_chart={"parts": 1, "baseline": 10})
    plant.lines.start()
    plant.make(*BASELINE, 9.0)
    (raised,) = plant.told.heard()
    plant.end()
    plant = Plant(tmp_path)
    plant.configure(score_chart={"parts": 1, "baseline": 10})
    plant.make(9.0)
    assert plant.told.heard() == [raised]
    plant.lines.decided(verdict(12, model_sha256="1" * 64))
    assert plant.told.heard()[1]["alert"] == "cleared"
    assert plant.told.heard()[1]["id"] == raised["id"]


@pytest.mark.parametrize("lost", [b"", None], ids=["damaged", "of before the alarm"])
def test_an_alarm_ends_although_a_power_cut_took_what_its_chart_knew(
    tmp_path: Path, lost: bytes | None
) -> None:
    file = tmp_path / "lines" / "camera.json"
    plant = Plant(tmp_path)
    plant.configure(score_chart={"parts": 1, "baseline": 10})
    plant.make(*BASELINE)
    plant.lines.start()
    plant.end()
    before = file.read_bytes()
    plant = Plant(tmp_path)
    plant.configure(score_chart={"parts": 1, "baseline": 10})
    plant.make(9.0)
    plant.told.heard()
    plant.told.alerts.close()
    file.write_bytes(before if lost is None else lost)
    plant = Plant(tmp_path)
    plant.configure(score_chart={"parts": 1, "baseline": 10})
    plant.make(0.4, 0.6, 0.4, 0.6, 0.4, 0.6, 0.4, 0.6)
    assert [alert for _, alert in plant.told.changes()] == ["raised", "cleared"]

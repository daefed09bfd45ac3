"""The simulated cell: repeatable, true to its own truth, and right where it claims physics."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.cell.conveyor import HEIGHT, LABELS, WIDTH, Conveyor, Label
from edge_agent.cell.motor import FAULTS, Bearing, Fault, Life, Motor
from edge_agent.sensing import spectrum


def test_the_same_seed_and_index_give_the_same_picture_in_any_order() -> None:
    one, other = Conveyor(3), Conveyor(3)
    later, first = one.picture(5), one.picture(0)
    np.testing.assert_array_equal(other.picture(0).pixels, first.pixels)
    np.testing.assert_array_equal(other.picture(5).pixels, later.pixels)
    assert not np.array_equal(first.pixels, Conveyor(4).picture(0).pixels)


@pytest.mark.parametrize("label", LABELS)
def test_a_picture_has_the_label_and_the_size_that_were_asked_for(label: Label) -> None:
    picture = Conveyor(1).picture(0, label)
    assert picture.label == label
    assert picture.pixels.shape == (HEIGHT, WIDTH, 3)
    assert picture.pixels.dtype == np.uint8
    assert (picture.box is None) == (label == "ok")
    assert (picture.severity == 0) == (label == "ok")


def test_defects_come_at_the_rate_and_in_every_kind() -> None:
    conveyor = Conveyor(2, defect_rate=0.5)
    labels = [conveyor.picture(index).label for index in range(150)]
    assert 0.35 < sum(label != "ok" for label in labels) / 150 < 0.65
    assert set(labels) == set(LABELS)
    assert {Conveyor(2, defect_rate=0.0).picture(index).label for index in range(20)} == {"ok"}


@pytest.mark.parametrize("label", ["scratch", "stain", "dent"])
def test_the_box_is_where_the_plate_is_uneven(label: Label) -> None:
    conveyor, contrasts = Conveyor(6), []
    for index in range(60):
        picture = conveyor.picture(index, label)
        if picture.severity < 0.6 or picture.box is None:
            continue
        x, y, w, h = (round(value) for value in picture.box)
        assert 0 <= x < x + w <= WIDTH
        assert 0 <= y < y + h <= HEIGHT
        inside = picture.pixels[y : y + h, x : x + w].mean(axis=2)[: h // 4 * 4, : w // 4 * 4]
        tiles = inside.reshape(4, h // 4, 4, w // 4).mean(axis=(1, 3))
        contrasts.append(float(np.ptp(tiles)))
    # Grain and uneven light alone come to some 10 grey levels.
    assert np.median(contrasts) > 30


def test_where_a_hole_is_missing_one_sees_metal_and_not_the_belt() -> None:
    conveyor = Conveyor(6)
    for index in range(20):
        picture = conveyor.picture(index, "missing_hole")
        assert picture.box is not None
        x, y, w, h = (round(value) for value in picture.box)
        middle = picture.pixels[y + h // 3 : y + 2 * h // 3, x + w // 3 : x + 2 * w // 3]
        assert middle.mean() > 1.4 * np.percentile(picture.pixels, 10)


@pytest.mark.parametrize(
    ("order", "wanted"),
    [("outer_race", 3.585), ("inner_race", 5.415), ("ball", 4.714), ("cage", 0.398)],
)
def test_a_6205_bearing_has_its_published_orders(order: str, wanted: float) -> None:
    assert getattr(Bearing(), order) == pytest.approx(wanted, abs=2e-3)


def test_vibration_does_not_depend_on_how_it_is_cut() -> None:
    life = Life(fault="outer_race", severity=0.7)
    whole = Motor(9, life=life).block(6000).samples
    motor = Motor(9, life=life)
    pieces = [motor.block(count).samples for count in (1, 999, 3000, 2000)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


@pytest.mark.parametrize("fault", ["outer_race", "inner_race", "ball"])
def test_a_defect_shows_at_its_characteristic_frequency_in_the_envelope(fault: Fault) -> None:
    motor = Motor(4, shaft_hz=25.0, life=Life(fault=fault, severity=0.8))
    block = motor.block(8192)
    edges_hz = tuple(float(edge) for edge in range(50, 201, 2))
    layout = spectrum.bands(8192, 8192.0, edges_hz)
    energies = spectrum.band_energies(
        spectrum.envelope(block.samples, 8192.0, (1800.0, 3800.0)), layout
    )
    strongest_hz = edges_hz[int(energies[:, 0].argmax())]
    # The shaft turns at 25 Hz give or take 6 % per motor and 3 % of wander.
    assert strongest_hz == pytest.approx(25.0 * getattr(Bearing(), fault), rel=0.1)
    assert block.fault == fault


def test_a_defect_that_is_there_from_the_start_is_felt_at_once() -> None:
    for seed in range(10):
        sound, worn = (
            Motor(seed, life=Life(fault="outer_race", severity=severity)).block(1024).samples.std()
            for severity in (0.0, 1.0)
        )
        assert worn > 1.5 * sound


def test_bursts_grow_with_severity() -> None:
    levels = [
        float(Motor(7, life=Life(fault="outer_race", severity=severity)).block(8192).samples.std())
        for severity in (0.0, 0.5, 1.0)
    ]
    assert levels[0] < levels[1] < levels[2]


def test_a_bearing_is_sound_then_gets_worse_and_is_replaced() -> None:
    motor = Motor(1, life=Life(length_s=10.0, onset_s=4.0))
    assert motor.state(3.9)[:2] == ("healthy", 0.0)
    early, late, new = motor.state(5.0), motor.state(9.0), motor.state(10.5)
    assert early[0] == late[0] != "healthy"
    assert 0 < early[1] < late[1] < 1
    assert (early[2], new) == (0, ("healthy", 0.0, 1))
    drawn = {motor.state(10.0 * life + 9.0)[0] for life in range(40)}
    assert drawn == set(FAULTS) - {"healthy"}


def test_a_healthy_motor_stays_healthy() -> None:
    motor = Motor(1, life=Life(fault="healthy", severity=0.9))
    block = motor.block(2000)
    assert (block.fault, block.severity) == ("healthy", 0.0)
    assert block.samples.dtype == np.float32
    assert block.samples.shape == (2000, 2)

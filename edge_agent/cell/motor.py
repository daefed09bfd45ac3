"""What two accelerometers on a motor's bearing feel: shaft harmonics, noise, and bearing defects.

Each time a rolling element passes a defect, the housing rings at its resonance. How often it
passes follows from the geometry of the bearing and the shaft's speed; the spacing is never quite
regular, because the elements slip (Randall and Antoni, "Rolling element bearing diagnostics: a
tutorial", Mechanical Systems and Signal Processing 25, 2011). A defect on the inner race or on a
ball moves in and out of the load, so its bursts come and go with the shaft or the cage.

The same seed gives the same vibration, however it is cut into blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from edge_agent.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
else:
    np = lazy_module("numpy")

Fault = Literal["healthy", "outer_race", "inner_race", "ball"]
FAULTS: tuple[Fault, ...] = get_args(Fault)
CHANNELS = ("accel_x", "accel_y")

# Made in pieces of so many samples: random numbers must not depend on how many are asked for.
PIECE = 1024
RING_S = 0.02  # after it a burst has decayed to a thousandth
# One resonance per channel (Hz), its decay (s), and how strongly a burst arrives there.
RESONANCES = ((2650.0, 0.0029, 1.0), (3050.0, 0.0025, 0.7))
MIN_RATE_HZ = 2 * 3050.0  # sampling theorem
# Amplitudes in g of the shaft's harmonics, per channel: unbalance, misalignment, looseness.
HARMONICS = ((0.25, 0.11, 0.05), (0.18, 0.14, 0.04))
MAINS_HZ, MAINS_G = 100.0, 0.03  # twice the mains frequency: magnetic pull in the stator
SLIP = 0.01  # deviation of the spacing between two bursts, as a share of it


@dataclass(frozen=True, slots=True)
class Bearing:
    """Geometry of a rolling bearing; the default is a 6205 deep groove ball bearing.

    Orders are in events per turn of the shaft, outer race fixed (Randall and Antoni 2011, eq. 1-4).
    """

    balls: int = 9
    ball_mm: float = 7.94
    pitch_mm: float = 39.04
    contact_deg: float = 0.0

    @property
    def ratio(self) -> float:
        """Ball to pitch diameter, seen along the contact."""
        return self.ball_mm / self.pitch_mm * math.cos(math.radians(self.contact_deg))

    @property
    def outer_race(self) -> float:
        """Order of the ball pass frequency of the outer race (BPFO)."""
        return self.balls / 2 * (1 - self.ratio)

    @property
    def inner_race(self) -> float:
        """Order of the ball pass frequency of the inner race (BPFI)."""
        return self.balls / 2 * (1 + self.ratio)

    @property
    def ball(self) -> float:
        """Order at which a spot on a ball hits: both races each turn of it, so twice BSF."""
        return self.pitch_mm / self.ball_mm * (1 - self.ratio**2)

    @property
    def cage(self) -> float:
        """Order of the fundamental train frequency (FTF)."""
        return (1 - self.ratio) / 2


@dataclass(frozen=True, slots=True)
class Life:
    """A bearing's life, over and over: sound until `onset_s`, then a defect that grows.

    With `fault` given, each life ends with that fault; otherwise it is drawn. `severity` given:
    the fault is there from the start and stays as it is.
    """

    length_s: float = 120.0
    onset_s: float = 40.0
    fault: Fault | None = None
    severity: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Vibration in g, float32 [samples, 2], and the truth at its last sample.

    `severity`: 0 to 1; `life` counts bearings.
    """

    samples: NDArray[np.float32]
    fault: Fault
    severity: float
    life: int


class Motor:
    """A motor that runs for ever; its bearing is replaced when its life is over."""

    def __init__(
        self,
        seed: int,
        rate_hz: float = 8192.0,
        shaft_hz: float = 25.0,
        life: Life = Life(),
        bearing: Bearing = Bearing(),
    ) -> None:
        self._rng = np.random.default_rng([seed, 0x0706])
        self._seed = seed
        self._rate_hz = rate_hz
        self._shaft_hz = shaft_hz * self._rng.uniform(0.94, 1.06)
        self._life = life
        self._bearing = bearing
        self._wander = self._rng.uniform(0, 2 * np.pi, 2)
        self._phases = self._rng.uniform(0, 2 * np.pi, (2, 3))
        self._noise_g = self._rng.uniform(0.05, 0.11)
        self._rings = [_ring(rate_hz, *resonance) for resonance in RESONANCES]
        self._tail = np.zeros((len(self._rings[0]) - 1, len(CHANNELS)))
        self._next_event = 0.0
        self._made = 0
        self._left = np.zeros((0, len(CHANNELS)))

    def block(self, samples: int) -> Block:
        """Return the next `samples` samples."""
        pieces = [self._left]
        while sum(map(len, pieces)) < samples:
            pieces.append(self._piece())
        together = np.concatenate(pieces)
        self._left = together[samples:]
        end_s = (self._made - len(self._left) - 1) / self._rate_hz
        fault, severity, number = self.state(end_s)
        return Block(together[:samples].astype(np.float32), fault, severity, number)

    def state(self, time_s: float) -> tuple[Fault, float, int]:
        """Return the fault, its severity and the number of the bearing at `time_s`."""
        life = self._life
        number, age_s = divmod(time_s, life.length_s)
        drawn = np.random.default_rng([self._seed, 0x11FE, int(number)]).integers(1, len(FAULTS))
        fault = life.fault or FAULTS[int(drawn)]
        if life.severity is not None:
            return fault, life.severity if fault != "healthy" else 0.0, int(number)
        severity = (age_s - life.onset_s) / (life.length_s - life.onset_s)
        if fault == "healthy" or severity <= 0:
            return "healthy", 0.0, int(number)
        return fault, severity, int(number)

    def _piece(self) -> Array:
        time_s = (self._made + np.arange(PIECE)) / self._rate_hz
        self._made += PIECE
        turns = self._turns(time_s)
        signal = self._harmonics(time_s, turns) + self._noise()
        hits = self._knocks() + self._bursts(time_s, turns)
        for channel, ring in enumerate(self._rings):
            ringing = np.convolve(hits, ring)
            ringing[: len(self._tail)] += self._tail[:, channel]
            signal[:, channel] += ringing[:PIECE]
            self._tail[:, channel] = ringing[PIECE:]
        return signal

    def _turns(self, time_s: Array) -> Array:
        """Return how often the shaft has turned: its speed wanders slowly, by up to 3 %."""
        turns = self._shaft_hz * time_s
        for share, period_s, phase in zip((0.02, 0.01), (17.0, 4.0), self._wander, strict=True):
            swing = np.sin(time_s / period_s + phase) - np.sin(phase)
            turns = turns + self._shaft_hz * share * period_s * swing
        return turns

    def _harmonics(self, time_s: Array, turns: Array) -> Array:
        orders = np.arange(1, 4)
        angles = 2 * np.pi * turns[:, None, None] * orders + self._phases
        mains = MAINS_G * np.sin(2 * np.pi * MAINS_HZ * time_s)
        total: Array = (np.array(HARMONICS) * np.sin(angles)).sum(axis=2) + mains[:, None]
        return total

    def _noise(self) -> Array:
        return self._noise_g * self._rng.standard_normal((PIECE, len(CHANNELS)))

    def _knocks(self) -> Array:
        """Return rare single knocks from elsewhere in the plant: not every burst is a defect."""
        hits = np.zeros(PIECE)
        for _ in range(int(self._rng.poisson(1.5 * PIECE / self._rate_hz))):
            hits[self._rng.integers(PIECE)] += self._rng.uniform(0.1, 0.5)
        return hits

    def _bursts(self, time_s: Array, turns: Array) -> Array:
        """Return the strokes of the defect in this piece, in g."""
        hits = np.zeros(PIECE)
        fault, severity, _ = self.state(float(time_s[-1]))
        if fault == "healthy":
            self._next_event = float(turns[-1])
            return hits
        spacing = 1.0 / getattr(self._bearing, fault)
        events = []
        while self._next_event <= turns[-1]:
            events.append(self._next_event)
            self._next_event += spacing * (1.0 + SLIP * self._rng.standard_normal())
        at = np.searchsorted(turns, events).clip(max=PIECE - 1)
        # From lost in the noise to the loudest thing there is.
        strength = self._noise_g * 1.2 * 20.0**severity
        strokes = strength * self._rng.uniform(0.8, 1.2, len(events))
        np.add.at(hits, at, strokes * _load(fault, np.array(events), self._bearing))
        return hits


def _ring(rate_hz: float, resonance_hz: float, decay_s: float, gain: float) -> Array:
    """Return how the housing answers a stroke of 1."""
    time_s = np.arange(int(RING_S * rate_hz)) / rate_hz
    ring: Array = gain * np.exp(-time_s / decay_s) * np.sin(2 * np.pi * resonance_hz * time_s)
    return ring


def _load(fault: Fault, turns: Array, bearing: Bearing) -> Array:
    """Return how much of the load the defect carries: it only turns with shaft or cage."""
    order = {"inner_race": 1.0, "ball": bearing.cage}.get(fault)
    if order is None:
        return np.ones_like(turns)
    depth = 0.45
    load: Array = (1 - depth) + depth * np.cos(2 * np.pi * order * turns)
    return load

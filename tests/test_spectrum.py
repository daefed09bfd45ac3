"""Band energies against what a sine, a sum of sines and noise must give."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.sensing import spectrum

RATE_HZ = 1000.0
TIME_S = np.arange(1000) / RATE_HZ


@pytest.mark.parametrize("amplitude", [1e-3, 0.5, 20.0])
def test_a_sine_gives_its_mean_square_in_its_band(amplitude: float) -> None:
    layout = spectrum.bands(1000, RATE_HZ, (10.0, 100.0, 200.0, 500.0))
    signal = amplitude * np.sin(2 * np.pi * 150 * TIME_S)[:, None] + 7.0
    got = spectrum.band_energies(signal, layout)
    assert got.shape == (3, 1)
    np.testing.assert_allclose(got[1, 0], np.log10(amplitude**2 / 2), atol=1e-4)
    assert got[0, 0] < got[1, 0] - 8


def test_all_bands_together_hold_the_energy_of_noise() -> None:
    noise = np.random.default_rng(0).standard_normal((1000, 200))
    layout = spectrum.bands(1000, RATE_HZ, tuple(float(edge) for edge in range(0, 501, 20)))
    energy = (10 ** spectrum.band_energies(noise, layout)).sum(axis=0)
    np.testing.assert_allclose(energy.mean(), 1.0, rtol=0.01)


def test_an_edge_belongs_to_the_band_above_it() -> None:
    layout = spectrum.bands(1000, RATE_HZ, (50.0, 60.0, 70.0))
    assert layout.starts.tolist() == [50, 60]
    assert layout.stop == 70


def test_edges_that_rounding_shifts_still_lie_on_their_bins() -> None:
    edges = tuple(0.1 * edge for edge in range(1, 40))  # 0.1 * 3 is 0.30000000000000004
    assert spectrum.bands(1000, 100.0, edges).starts.tolist() == list(range(1, 39))


def test_the_last_band_may_reach_half_the_rate() -> None:
    layout = spectrum.bands(1000, RATE_HZ, (400.0, 500.0))
    signal = np.sin(2 * np.pi * 450 * TIME_S)[:, None]
    np.testing.assert_allclose(spectrum.band_energies(signal, layout)[0, 0], -0.30103, atol=1e-4)


def test_silence_is_finite() -> None:
    layout = spectrum.bands(1000, RATE_HZ, (10.0, 100.0))
    assert spectrum.band_energies(np.zeros((1000, 1)), layout)[0, 0] == np.log10(spectrum.FLOOR)


def test_the_envelope_of_a_modulated_carrier_is_its_modulation() -> None:
    modulation = 1 + 0.5 * np.cos(2 * np.pi * 7 * TIME_S)
    disturbance = 10 * np.sin(2 * np.pi * 20 * TIME_S)
    signal = (modulation * np.sin(2 * np.pi * 300 * TIME_S) + disturbance)[:, None]
    got = spectrum.envelope(signal, RATE_HZ, (250.0, 350.0))
    np.testing.assert_allclose(got[:, 0], modulation, atol=1e-6)

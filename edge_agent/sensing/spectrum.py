"""The spectrum of a window of samples, as energies in bands: pure functions on arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = lazy_module("numpy")

# log10 of an empty band: below the noise of any 24-bit converter, so silence stays finite.
FLOOR = 1e-15


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """Where each band begins and ends among the bins of a spectrum of `samples` samples."""

    samples: int
    starts: NDArray[np.intp]
    stop: int
    taper: NDArray[np.float64]
    power_scale: float


def bands(samples: int, rate_hz: float, edges_hz: tuple[float, ...]) -> Bands:
    """Prepare bands between `edges_hz` for windows of `samples` samples.

    A band holds the bins whose frequency f is edges_hz[i] <= f < edges_hz[i + 1]; it must hold at
    least one, which WindowPreprocess checks. The taper is Hann's, periodic.
    """
    # Half a millionth of a bin: an edge that is meant to lie on a bin must not miss it by rounding.
    edges = np.ceil(np.asarray(edges_hz) * samples / rate_hz - 1e-6).astype(np.intp)
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples)
    # Parseval, one-sided: the sum over all bins is then the mean square of the tapered signal,
    # made up for what the taper takes.
    power_scale = 2.0 / (samples * float(np.sum(taper**2)))
    stop = min(int(edges[-1]), samples // 2 + 1)
    return Bands(samples, edges[:-1], stop, taper, power_scale)


def band_energies(signal: NDArray[np.floating], layout: Bands) -> NDArray[np.float64]:
    """Return log10 of the mean square in each band: float64 [bands, columns].

    `signal`: [samples, columns]. A sine of amplitude a inside a band gives log10(a ** 2 / 2).
    """
    centred = signal - signal.mean(axis=0)
    spectrum = np.fft.rfft(centred * layout.taper[:, None], axis=0)[: layout.stop]
    power = (spectrum.real**2 + spectrum.imag**2) * layout.power_scale
    energy = np.add.reduceat(power, layout.starts, axis=0)
    return np.log10(np.maximum(energy, FLOOR))


def envelope(
    signal: NDArray[np.floating], rate_hz: float, band_hz: tuple[float, float]
) -> NDArray[np.float64]:
    """Return the envelope of the part of `signal` within `band_hz`: float64 [samples, columns].

    The magnitude of the analytic signal, made by one-sided band-pass in the frequency domain
    (Randall and Antoni, "Rolling element bearing diagnostics: a tutorial", 2011, section 4.2).
    """
    samples = signal.shape[0]
    spectrum = np.fft.fft(signal, axis=0)
    frequency_hz = np.arange(samples) * (rate_hz / samples)
    inside = (frequency_hz >= band_hz[0]) & (frequency_hz <= band_hz[1])
    spectrum[~inside] = 0
    return np.abs(2 * np.fft.ifft(spectrum, axis=0))

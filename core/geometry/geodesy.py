"""Places on the Earth as metres east, north and up of one of them (WGS 84; Hofmann-Wellenhof et al. 2008, GNSS, chapter 8)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SEMI_MAJOR = 6378137.0  # metres
FLATTENING = 1.0 / 298.257223563


def east_north_up(places: NDArray[np.float64], origin: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) metres.

    Parameters
    ----------
    places : (N, 3), latitude and longitude in degrees, altitude in metres
    origin : (3,) of the same kind
    """
    latitude, longitude = np.radians(origin[:2])
    sin_b, cos_b, sin_l, cos_l = np.sin(latitude), np.cos(latitude), np.sin(longitude), np.cos(longitude)
    axes = np.array(
        [[-sin_l, cos_l, 0.0], [-sin_b * cos_l, -sin_b * sin_l, cos_b], [cos_b * cos_l, cos_b * sin_l, sin_b]]
    )
    found: NDArray[np.float64] = (_geocentric(places) - _geocentric(origin[None])) @ axes.T
    return found


def _geocentric(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) metres from the Earth's centre."""
    latitude, longitude, altitude = np.radians(places[:, 0]), np.radians(places[:, 1]), places[:, 2]
    eccentricity = FLATTENING * (2.0 - FLATTENING)  # squared
    normal = SEMI_MAJOR / np.sqrt(1.0 - eccentricity * np.sin(latitude) ** 2)
    across = (normal + altitude) * np.cos(latitude)
    return np.stack(
        [
            across * np.cos(longitude),
            across * np.sin(longitude),
            (normal * (1.0 - eccentricity) + altitude) * np.sin(latitude),
        ],
        axis=1,
    )

"""A chunk made better by its own pictures and by what its frames say of each other: it needs no other chunk."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.alignment.pass_alignment import without_people
from ..core.frames.resizing import Placement
from ..core.monitor import Monitor
from ..core.prediction import filters
from ..core.prediction.prediction import Prediction
from ..core.settings import Settings
from ..core.surfaces.fusion.depth_agreement import bring_together
from .registration.bundle_adjustment import adjust
from .registration.corner_tracks import give


def refined(
    prediction: Prediction,
    indices: Sequence[int],
    places: Sequence[Placement],
    settings: Settings,
    monitor: Monitor | None = None,
) -> Prediction:
    """The prediction, with corrected cameras and depths and with tracks, unless its cameras were given; with its sky, where
    that is wanted.

    Parameters
    ----------
    indices : N, its frames
    places : N, where the original of each lies on the processed image

    Raises
    ------
    Cancelled
    """
    if not prediction.cameras_known:
        adjusted = adjust(without_people(prediction))
        adjusted.apply_to(prediction)
        if adjusted.tracks is not None:
            give(prediction, adjusted.tracks, indices, places)
        bring_together(prediction, monitor or Monitor())
    if settings.drop_sky and prediction.sky is None:
        prediction.sky = filters.sky_of(prediction)
    return prediction

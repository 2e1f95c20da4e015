"""A chunk made better by its own pictures and by what its frames say of each other: it needs no other chunk."""

from __future__ import annotations

from ..core.alignment.pass_alignment import without_people
from ..core.monitor import Monitor
from ..core.prediction import filters
from ..core.prediction.prediction import Prediction
from ..core.settings import Settings
from ..core.surfaces.fusion.depth_agreement import bring_together
from .registration.bundle_adjustment import adjust


def refined(prediction: Prediction, settings: Settings, monitor: Monitor | None = None) -> Prediction:
    """The prediction, with corrected cameras and depths, unless its cameras were given; with its sky, where that is wanted.

    Raises
    ------
    Cancelled
    """
    if not prediction.cameras_known:
        adjust(without_people(prediction)).apply_to(prediction)
        bring_together(prediction, monitor or Monitor())
    if settings.drop_sky and prediction.sky is None:
        prediction.sky = filters.sky_of(prediction)
    return prediction

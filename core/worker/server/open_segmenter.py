"""Segmentation in a job: the segmenter that the settings ask for, or a test's stand-in."""

from __future__ import annotations

import functools
import os
import runpy
from pathlib import Path
from typing import Protocol

from ...frames.source import FrameSource
from ...monitor import Monitor
from ...segmentation.segmenter import Segmenter, open_segmenter
from ...settings import Settings

#: Environment variable, ``FILE.py:FUNCTION``: what is opened instead of a network, for tests and benchmarks.
STAND_IN = "DA3_SEGMENTER"


class OpenSegmenter(Protocol):
    """``core.segmentation.segmenter.open_segmenter``, or a test's stand-in."""

    def __call__(
        self, settings: Settings, folder: Path, frames: FrameSource, monitor: Monitor, *, device: str | None = None
    ) -> Segmenter | None: ...


def segmenter(
    settings: Settings, folder: Path, frames: FrameSource, monitor: Monitor, device: str | None, online: bool = False
) -> Segmenter | None:
    """A fresh one for this job: numbers start at 1 and nothing of another job is in the tracker.

    Returns
    -------
    None where none is asked for, or none can be had; then ``frames.warnings`` say so.

    Raises
    ------
    Cancelled
    """
    if not settings.use_segmentation:
        return None
    opener: OpenSegmenter = functools.partial(open_segmenter, online=online)
    if os.environ.get(STAND_IN):
        file, _, function = os.environ[STAND_IN].rpartition(":")
        opener = runpy.run_path(file)[function]
    return opener(settings, folder, frames, monitor, device=device)

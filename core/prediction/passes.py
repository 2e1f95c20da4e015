"""Passes of the model one after another: the next one's images are decoded meanwhile, and memory that runs out makes
passes smaller instead of ending the run."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from .. import memory
from ..errors import BadInput
from ..frames.resizing import layout
from ..frames.source import FrameSource
from ..models import catalogue
from ..monitor import Monitor
from ..settings import PATCH, BatchMode, Settings
from .batching import plan
from .executor import executor
from .prediction import Prediction
from .predictor import Predictor

if TYPE_CHECKING:
    from .batching import Planner

OVERLAPPING = (BatchMode.LAST_FRAME_OVERLAP, BatchMode.FIRST_LAST_OVERLAP, BatchMode.DA3_STREAMING)
FALLBACK = 10  # images of a pass where nothing is known about memory


def images_per_pass(frames: FrameSource, settings: Settings, predictor: Predictor) -> int:
    """The batch size that is set, or where it is 0 (auto) as many images as fit into the memory that is free now.

    ``classic`` needs to see all of them to place any: it gets them all, unless a mode of several passes is asked for with
    a size of its own.

    Call it once the model is loaded: what its weights hold is then not free any more.

    Raises
    ------
    BadInput
        An image is too narrow for the resolution.
    """
    takes_all = not catalogue.find(settings.model).needs_file and settings.batch_mode is not BatchMode.DA3_STREAMING
    if takes_all and (settings.batch_size == 0 or settings.batch_mode is BatchMode.AUTOMATIC):
        return len(frames.selected)
    if settings.batch_size:
        return settings.batch_size
    model, device = getattr(predictor, "model", None), getattr(predictor, "device", "cpu")
    kind = getattr(device, "type", str(device))
    free = free_for(predictor, kind)
    if model is None or free is None:  # ``classic`` in chunks holds little beyond its images
        return FALLBACK if model is not None else memory.MOST
    if kind != "cuda":
        free -= frames.held_most  # decoded images share the memory
    sizes = {(h.width, h.height) for h in frames.headers.values()}
    width, height, _ = layout(list(sizes), settings.resolution, settings.resize_method)
    cost = memory.cost_of(model.config, kind, splats=settings.makes_splats)
    return cost.fitting(int(memory.USABLE * free), width * height // PATCH**2)


def free_for(predictor: Predictor, kind: str) -> int | None:
    """Bytes of memory that its passes may take, where they are computed; None where nobody tells."""
    ask = getattr(predictor, "free_memory", None)
    return memory.free_memory(kind) if ask is None else ask()


def find_cameras(frames: FrameSource, settings: Settings, predictor: Predictor) -> None:
    """Let a predictor that can (``classic``) find the cameras of the whole input before its passes, in one frame.

    Frames without a camera take no part from then on, and ``frames.warnings`` name them; ``frames.cameras_by``
    says how the others were found.

    Raises
    ------
    BadInput
        No frames can be placed; the sentence says why.
    Cancelled, DA3Error
    """
    find = getattr(predictor, "find_cameras", None)
    if find is None or len(frames.selected) < 2:
        return
    wanted = frames.selected
    if settings.batch_mode is BatchMode.SKIP_FRAMES:  # the others are not looked at
        wanted = [i for made in plan(wanted, settings, images_per_pass(frames, settings, predictor)) for i in made]
    placed, warnings, frames.cameras_by = find(frames, wanted, settings)
    frames.selected = placed
    frames.warnings.extend(warnings)


def predictions(
    frames: FrameSource,
    settings: Settings,
    predictor: Predictor,
    planner: Planner,
    monitor: Monitor,
    *,
    beside: bool = True,
) -> Generator[tuple[list[int], Prediction], None, None]:
    """Each pass's frames and what the model says of them, in the planner's order.

    Frames that cannot be decoded are left out by name (``frames.warnings``) before the model sees the pass, and the plan
    goes on without them. A pass that does not fit into memory is made again at half the size, with a warning there too.
    ``beside``: a card may compute a pass while the one before is worked on; for that see ``executor``.

    Raises
    ------
    BadInput
        No image can be read.
    DA3Error
        Memory ran out and a pass cannot get smaller, or what else the predictor raises.
    Cancelled
    """
    found = False
    passes = executor(frames, settings, predictor, monitor, beside=beside)
    if settings.batch_size == 1 and settings.batch_mode in OVERLAPPING and len(frames.selected) > 1:
        label = settings.batch_mode.label
        frames.warnings.append(f"Batch Size is 1, but passes of '{label}' share images: they take {planner.batch_size}")
    try:
        while (wanted := planner.next()) is not None:
            fits = True
            try:
                indices, prediction = passes.ask(wanted, planner)
            except Exception as error:  # what libraries raise for it has no common class
                if not memory.is_out_of_memory(error):
                    raise
                fits = False
            if not fits:  # after the exception, which holds on to the memory that was too much
                passes.make_room(wanted)
                smaller = planner.halve()
                frames.warnings.append(
                    f"Memory ran out with {len(wanted)} images in one pass of the model; the run goes on with {smaller}"
                )
                continue
            if prediction is None:
                planner.drop(set(wanted) - set(indices))
                continue
            found = True
            yield indices, prediction
        if not found:
            raise BadInput(f"No readable image left: {'; '.join(frames.warnings)}")
    finally:
        passes.close()
        frames.release()

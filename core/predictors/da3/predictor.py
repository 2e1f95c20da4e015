"""One pass of a DA3 network, from images to a ``Prediction``."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...devices.choosing import choose, short_type
from ...devices.limits import keep_off_system_memory
from ...devices.transfers import to_host
from ...errors import BadInput, DA3Error, OutOfMemory
from ...frames.resizing import Placement, place
from ...memory import is_out_of_memory
from ...models.catalogue import ModelInfo
from ...monitor import Monitor
from ...prediction.conditioning import check
from ...prediction.prediction import Cameras, Prediction
from ...settings import BatchMode, Settings
from . import cameras as known
from .attention import InPieces
from .forward_hooks import SkyOfNested, watched
from .frame_descriptors import DescriptorReader
from .network import bytes_held, gaussian_head, load, repeatable

# Of ImageNet, which the backbone was trained on; the package's input processor has the same.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
SKY_FROM = 0.5  # of the metric and mono networks' sky, as the package's output processor has it
SEED = 0


class DA3Predictor:
    """A loaded DA3 model; see ``Predictor``.

    Precision: float32 on the CPU and on Apple's GPUs; on CUDA autocast to bfloat16 where the card has it, else to float16
    where that is faster than float32 (``short_type``), until a value is too large for that. With ``fp16`` backbones are
    float16 everywhere.

    Parameters
    ----------
    model : row of the table of models
    file : its weights
    watch : of the job that loads it; set the attribute before each further job
    device : "cuda", "mps", "cpu"; None takes the first of these that is there and works; ``device_warning`` says where it
        is another than this

    Raises
    ------
    MissingModel
        The file is not whole, or not this model's.
    BadInput
        There is no such device.
    Cancelled
    """

    takes_reduced = True  # of an image it wants nothing but the size that the network sees

    def __init__(
        self,
        model: ModelInfo,
        file: Path,
        monitor: Monitor | None = None,
        *,
        fp16: bool = False,
        device: str | None = None,
    ):
        self.model = model
        self.monitor = monitor or Monitor()
        self.fp16 = fp16
        choice = choose(device)
        self.device, self.device_warning = choice.device, choice.warning
        self._short = None if fp16 else short_type(self.device)
        self._file = file
        with _readable_failures(self):
            self._net: nn.Module | None = load(model, file, self.device, fp16=fp16, monitor=self.monitor)

    @property
    def computes_beside(self) -> bool:
        """Whether the processor is free while it computes; see ``prediction.executor``."""
        return self.device.type != "cpu"

    @property
    def memory_bytes(self) -> int:
        """What the weights hold; 0 once unloaded."""
        return 0 if self._net is None else bytes_held(self._net)

    def unload(self) -> None:
        """Free the model's memory. The predictor cannot be used afterwards."""
        self._net = None
        self.free_cache()

    def free_cache(self) -> None:
        """Give memory that is only kept for later back to the device and to the system."""
        gc.collect()
        if sys.platform == "linux":
            _trim_heap()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.device.type == "mps":
            torch.mps.empty_cache()

    def predict(
        self, images: Sequence[np.ndarray], indices: Sequence[int], settings: Settings, cameras: Cameras | None = None
    ) -> Prediction:
        """One pass; see ``Predictor``.

        Models that give no cameras (metric, mono) leave ``extrinsics`` and ``intrinsics`` None, and their confidence
        is 1. For DA3 Streaming ``descriptors`` is filled, for splats ``gaussians`` where the network has that head. With known cameras the result is in their frame and unit, so it is not
        called metric.

        Raises
        ------
        BadInput
            Images or cameras that the model cannot work with.
        OutOfMemory
            A smaller pass may fit.
        DA3Error
            The network gave values that are not numbers.
        Cancelled
        """
        if self._net is None:
            raise DA3Error(f"{self.model.label} was unloaded; run again to load it")
        if not images:
            raise BadInput("There are no images to predict")
        if cameras is not None:
            if not self.model.gives_cameras:
                raise BadInput(f"{self.model.label} cannot use known cameras; choose another model or turn them off")
            check(cameras, len(images))
        streams = settings.batch_mode is BatchMode.DA3_STREAMING  # which alone asks what frames look like
        canvas, valid, placements = place(images, settings.resolution, settings.resize_method)
        keep_off_system_memory(self.device)
        with _readable_failures(self):
            reader = DescriptorReader(valid)
            with (
                reader.reading(self._net) if streams else contextlib.nullcontext(),
                self._gaussians(settings) as splats,
            ):
                raw = self._forward(self._net, canvas, placements, settings, cameras, splats)
                if self._short is torch.float16 and not all(a is None or np.isfinite(a).all() for a in raw.values()):
                    self._short = None  # a value beyond 65504: this pass and all that follow are computed in float32
                    raw = self._forward(self._net, canvas, placements, settings, cameras, splats)
        prediction = self._to_prediction(raw, canvas, valid)
        prediction.descriptors = reader.found
        self._check_finite(prediction, indices)
        if cameras is not None:
            _move_to(cameras, placements, prediction)
        prediction.depth[~valid] = 0.0
        prediction.conf[~valid] = 0.0
        if prediction.sky is not None:
            prediction.sky &= valid
        return prediction

    def _forward(
        self,
        net: nn.Module,
        canvas: np.ndarray,
        placements: Sequence[Placement],
        settings: Settings,
        cameras: Cameras | None,
        splats: bool,
    ) -> dict[str, np.ndarray | None]:
        """What the network gives, as arrays (N, ...) on the CPU."""
        sky_of_nested = SkyOfNested()
        with (
            warnings.catch_warnings(),
            torch.inference_mode(),
            repeatable(self.device, SEED),
            watched(net, self.monitor, self.device),
            InPieces(),
            sky_of_nested.reading(net),
        ):
            warnings.simplefilter("ignore")  # the package's own, about things a person here cannot change
            extrinsics = intrinsics = None
            if cameras is not None:
                extrinsics, intrinsics = known.for_network(cameras, placements, self.device)
            normalised = self._normalised(canvas)[None]
            rays, reference = settings.use_ray_pose, settings.ref_view_strategy.value
            with self._precision():
                output = net(normalised, extrinsics, intrinsics, [], splats, rays, reference)
            if output.get("scale_factor", 1.0) <= 0.0:  # nested: no pixel was good enough in both branches
                raise DA3Error(
                    f"{self.model.label} found nothing in these images that it could measure; use a larger batch, or "
                    "choose a model that is not nested"
                )
            if sky_of_nested.sky is not None:
                sky = sky_of_nested.sky
            else:
                sky = output["sky"] >= SKY_FROM if "sky" in output else None
            names = ("depth", "depth_conf", "extrinsics", "intrinsics", "gaussians")
            found = {key: output.get(key) for key in names} | {"sky": sky}
            return to_host({key: None if tensor is None else tensor[0] for key, tensor in found.items()})

    def _gaussians(self, settings: Settings) -> contextlib.AbstractContextManager[bool]:
        """Open the Gaussian head for a pass that splats are wanted of; whether there is one."""
        assert self._net is not None
        head = gaussian_head(self.model, self._net) if settings.makes_splats else None
        if head is None:
            return contextlib.nullcontext(False)
        return head.open(self.model, self._file, self.device, self.monitor.silent)

    def _normalised(self, canvas: np.ndarray) -> torch.Tensor:
        """(N, H, W, 3) uint8 to (N, 3, H, W) float32 as the backbone was trained."""
        images = torch.from_numpy(canvas).to(self.device).permute(0, 3, 1, 2).contiguous().float().div_(255.0)
        mean, deviation = (torch.tensor(v, device=self.device).view(3, 1, 1) for v in (MEAN, DEVIATION))
        return images.sub_(mean).div_(deviation)

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(self.device.type, dtype=self._short) if self._short else contextlib.nullcontext()

    def _to_prediction(self, raw: dict[str, np.ndarray | None], canvas: np.ndarray, valid: np.ndarray) -> Prediction:
        depth, conf, extrinsics, intrinsics = (raw[k] for k in ("depth", "depth_conf", "extrinsics", "intrinsics"))
        assert depth is not None
        return Prediction(
            depth=depth.astype(np.float32),
            conf=np.ones(depth.shape, np.float32) if conf is None else conf.astype(np.float32),
            extrinsics=None if extrinsics is None else extrinsics[:, :3].astype(np.float64),
            intrinsics=None if intrinsics is None else intrinsics.astype(np.float64),
            images=canvas,
            sky=None if raw["sky"] is None else raw["sky"].copy(),
            gaussians=raw["gaussians"],
            is_metric=self.model.is_metric,
            metric_focal=self.model.metric_focal,
        )

    def _check_finite(self, prediction: Prediction, indices: Sequence[int]) -> None:
        arrays = (prediction.depth, prediction.conf, prediction.extrinsics, prediction.intrinsics)
        good = np.ones(len(prediction), bool)
        for array in arrays:
            if array is not None:
                good &= np.isfinite(array).reshape(len(array), -1).all(axis=1)
        if not good.all():
            frames = ", ".join(str(i) for i, fine in zip(indices, good, strict=True) if not fine)
            advice = "turn FP16 weights off" if self.fp16 else "leave them out, or choose another model"
            raise DA3Error(f"{self.model.label} gave values that are not numbers for frames {frames}; {advice}")


def _move_to(cameras: Cameras, placements: Sequence[Placement], prediction: Prediction) -> None:
    """Put a prediction into the frame of known cameras."""
    assert prediction.extrinsics is not None
    prediction.depth /= np.float32(known.scale_to(cameras, prediction.extrinsics.astype(np.float32)))
    prediction.extrinsics = cameras.extrinsics.astype(np.float64)
    prediction.intrinsics = known.processed_intrinsics(cameras, placements)
    prediction.is_metric = False


def _trim_heap() -> None:
    """glibc keeps freed tensors of under 32 MB, a third of a model, for later; other C libraries have no such call."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@contextlib.contextmanager
def _readable_failures(predictor: DA3Predictor) -> Iterator[None]:
    """Torch's failures that a person can do something about, in words."""
    try:
        yield
    except torch.linalg.LinAlgError as error:
        raise DA3Error(
            f"{predictor.model.label} found no camera for these images; turn ray-based pose off or leave blurred and "
            "empty images out"
        ) from error
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # their variables hold the tensors that were too many
        predictor.free_cache()
        raise OutOfMemory(
            f"Memory ran out on {predictor.device.type} with {predictor.model.label}; lower the batch size or the "
            "process resolution, turn FP16 weights on, or choose a smaller model"
        ) from error

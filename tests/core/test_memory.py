"""How much memory a pass takes, how much is free, and how running out of it is told."""

import ctypes
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_da3
import torch
from da3_blender.core import memory
from da3_blender.core.errors import BadInput, OutOfMemory
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.prediction import passes
from da3_blender.core.predictors.da3.predictor import DA3Predictor
from da3_blender.core.settings import Settings
from PIL import Image

IMAGES = [np.zeros((28, 42, 3), np.uint8)] * 2
SMALL = Settings(process_resolution=42)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        np._core._exceptions._ArrayMemoryError((10**12,), np.dtype(np.uint8)),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:114] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
        ),
        RuntimeError("[enforce fail at alloc_cpu.cpp:75] data. DefaultCPUAllocator: not enough memory: you tried"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        cv2.error("OpenCV(5.0.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 12 bytes"),
        OutOfMemory("Memory ran out"),
        RuntimeError("Invalid buffer size: 13.42 GiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("cusolver error: CUSOLVER_STATUS_INTERNAL_ERROR, when calling `cusolverDnCreate(handle)`"),
        OSError(22, "Die Auslagerungsdatei ist zu klein", None, 1455)
        if sys.platform == "win32"
        else OSError("[WinError 1455] Die Auslagerungsdatei ist zu klein, um diesen Vorgang durchzuführen"),
    ],
)
def test_running_out_of_memory_is_known_in_all_its_forms(error):
    assert memory.is_out_of_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("shape mismatch"), BadInput("out of memory"), ValueError("out of memory")]
)
def test_nothing_else_is_taken_for_it(error):
    assert not memory.is_out_of_memory(error)


def test_torch_on_the_cpu_really_says_it_so():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert memory.is_out_of_memory(caught.value)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_a_model_tells_that_memory_ran_out_and_can_be_used_again(tmp_path, error):
    tiny = tiny_da3.any_view(tmp_path)
    predictor = DA3Predictor(tiny.info, tiny.file, device="cpu")

    def fail(*_):
        raise error

    hook = predictor._net.head.register_forward_pre_hook(fail)
    with pytest.raises(OutOfMemory, match="lower the batch size"):
        predictor.predict(IMAGES, range(2), SMALL)
    hook.remove()
    assert len(predictor.predict(IMAGES, range(2), SMALL)) == 2


def test_free_memory_is_what_the_system_says():
    free = memory.free_ram()
    assert free is not None and free > 64 * memory.MIB
    if Path("/proc/meminfo").exists():
        total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
        assert free <= total
    assert ctypes.sizeof(memory._MemoryStatus) == 64  # as Windows has it


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("config", ["da3-small", "da3-base", "da3-large", "da3-giant", "unheard-of"])
def test_more_memory_is_never_fewer_images_and_what_fits_fits(config, device):
    cost = memory.cost_of(config, device)
    counts = [cost.fitting(gib << 30, 972) for gib in range(1, 64)]
    assert counts == sorted(counts) and counts[0] >= 1 and counts[-1] == memory.MOST
    for gib, count in enumerate(counts, 1):
        assert count == 1 or cost.of(count, 972) <= gib << 30
        assert count == memory.MOST or cost.of(count + 1, 972) > gib << 30


def source(tmp_path, size=(504, 378)):
    Image.new("RGB", size).save(tmp_path / "a.png")
    return FrameSource.open(tmp_path)


def model(config="da3-large", device="cpu"):
    return types.SimpleNamespace(model=types.SimpleNamespace(config=config), device=torch.device(device))


def test_the_automatic_batch_size_follows_free_memory_and_resolution(tmp_path, monkeypatch):
    frames = source(tmp_path)
    frames.held_most = 1 << 30

    def count(gib, resolution=504):
        monkeypatch.setattr(memory, "free_ram", lambda: gib << 30)
        return passes.images_per_pass(frames, Settings(batch_size=0, process_resolution=resolution), model())

    assert 1 < count(4) < count(6) < count(8)
    assert count(4, 1008) < count(4) < count(4, 252)
    assert count(1) == 1  # nothing is left, yet one image has to be tried


def test_a_batch_size_that_is_set_is_taken_whatever_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "free_ram", lambda: 0)
    assert passes.images_per_pass(source(tmp_path), Settings(batch_size=37), model()) == 37


@pytest.mark.parametrize("size", [0, 2, 100])
def test_classic_gets_all_images_whatever_the_batch_size(tmp_path, size):
    frames, settings = source(tmp_path), Settings(model="classic", batch_size=size)
    assert passes.images_per_pass(frames, settings, object()) == len(frames.selected)


def test_where_nothing_is_known_of_memory_the_default_is_taken(tmp_path, monkeypatch):
    frames = source(tmp_path)
    monkeypatch.setattr(memory, "free_ram", lambda: None)
    assert passes.images_per_pass(frames, Settings(batch_size=0), model()) == passes.FALLBACK

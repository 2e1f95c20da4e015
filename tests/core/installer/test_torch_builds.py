"""Which build of PyTorch a machine gets, by its graphics card and its driver."""

import sys

import pytest
from da3_blender.core.devices import cards
from da3_blender.core.devices.cards import Graphics
from da3_blender.core.errors import BadInput
from da3_blender.core.installer import torch_builds
from da3_blender.core.installer.torch_builds import Device

NOTHING, NEW, OLD, AMD = Graphics(), Graphics(nvidia=580), Graphics(nvidia=550), Graphics(amd=True)


@pytest.mark.parametrize(
    ("device", "graphics", "platform", "expected"),
    [
        (None, OLD, "linux", None),
        (Device.AUTO, NEW, "linux", None),
        (Device.AUTO, OLD, "linux", "auto"),
        (Device.AUTO, AMD, "linux", "auto"),
        (Device.AUTO, NOTHING, "linux", "cpu"),
        (Device.AUTO, NEW, "win32", "auto"),
        (Device.AUTO, NOTHING, "win32", None),
        (Device.AUTO, NOTHING, "darwin", None),
        (Device.CUDA, NOTHING, "linux", None),
        (Device.CUDA, NOTHING, "win32", torch_builds.CUDA),
        (Device.CUDA, OLD, "win32", "auto"),
        (Device.CPU, NEW, "linux", "cpu"),
        (Device.CPU, NEW, "win32", None),
        (Device.CPU, NOTHING, "darwin", None),
        (Device.ROCM, NOTHING, "linux", torch_builds.ROCM),
        (Device.METAL, NOTHING, "darwin", None),
    ],
)
def test_the_locked_build_is_taken_where_it_serves_the_device(device, graphics, platform, expected):
    assert torch_builds.build_for(device, graphics, platform) == torch_builds.Build(expected)


@pytest.mark.parametrize("device", [Device.AUTO, Device.CUDA])
@pytest.mark.parametrize("driver", [580, 550])
@pytest.mark.parametrize(
    ("capability", "linux", "windows"),
    [
        ((3, 5), "none", "none"),
        ((5, 2), "cu126", "none"),
        ((6, 1), "cu126", "cu126"),
        ((7, 0), "cu126", "cu126"),
        ((7, 5), "by driver", "by driver"),
        ((8, 6), "by driver", "by driver"),
        ((9, 0), "by driver", "by driver"),
        ((12, 0), "by driver", "by driver"),
    ],
)
def test_every_card_gets_a_build_that_has_kernels_for_it(device, driver, capability, linux, windows):
    graphics = Graphics(driver, capability=capability, name="GeForce")
    for platform, expected in (("linux", linux), ("win32", windows)):
        build = torch_builds.build_for(device, graphics, platform)
        if expected == "by driver":
            assert build == torch_builds.build_for(device, Graphics(driver), platform)
        elif expected == "none":
            assert build.backend == ("cpu" if platform == "linux" else None)
            assert "GeForce (compute capability" in build.warning and "The processor computes" in build.warning
        else:
            assert build == torch_builds.Build(expected)


def test_an_old_card_with_a_driver_too_old_for_its_build_is_told_which_driver_it_needs():
    build = torch_builds.build_for(Device.AUTO, Graphics(470, capability=(6, 1), name="GTX 1060"), "win32")
    assert build.backend is None and "driver of version 525" in build.warning and "GTX 1060" in build.warning


def test_the_locked_build_instead_of_an_old_cards_own_is_said_to_have_no_kernels():
    assert "no kernels for GTX 970" in torch_builds.instead(Graphics(580, capability=(5, 2), name="GTX 970"))
    assert "kernels" not in torch_builds.instead(Graphics(580, capability=(8, 6), name="RTX 3060"))


@pytest.mark.parametrize(
    ("device", "platform"),
    [(Device.CUDA, "darwin"), (Device.ROCM, "win32"), (Device.ROCM, "darwin"), (Device.METAL, "linux")],
)
def test_a_device_that_this_system_cannot_have_is_bad_input(device, platform):
    with pytest.raises(BadInput, match="choose Automatic"):
        torch_builds.build_for(device, NOTHING, platform)


# What the driver's tool says


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Stands for ``nvidia-smi``: the body of a shell script."""

    def make(body: str) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return make


shell_only = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")


@shell_only
def test_the_most_capable_of_several_cards_counts(tool):
    tool('echo "6.1, 551.23, NVIDIA GeForce GTX 1080"; echo "8.6, 551.23, NVIDIA GeForce RTX 3060"')
    assert cards.find_graphics() == Graphics(
        551, capability=(8, 6), name="NVIDIA GeForce RTX 3060", amd=cards.find_graphics().amd
    )


@shell_only
def test_a_driver_that_does_not_know_the_question_is_asked_for_its_version_alone(tool):
    tool('case "$1" in *compute_cap*) echo "Field is not a valid field to query."; exit 2;; *) echo 470.256;; esac')
    found = cards.find_graphics()
    assert found.nvidia == 470 and found.capability is None


@shell_only
@pytest.mark.parametrize("body", ["exit 9", "echo 'No devices were found'", "sleep 20"])
def test_a_tool_that_fails_or_hangs_is_no_card_and_no_crash(tool, monkeypatch, body):
    monkeypatch.setattr(cards, "PATIENCE", 0.2)
    tool(body)
    assert cards.find_graphics().capability is None

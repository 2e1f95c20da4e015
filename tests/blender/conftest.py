"""Every test of this folder starts from an empty Blender file."""

import bpy
import pytest


@pytest.fixture(autouse=True)
def empty_file():
    bpy.ops.wm.read_factory_settings(use_empty=True)


@pytest.fixture
def scene(empty_file) -> bpy.types.Scene:
    return bpy.context.scene

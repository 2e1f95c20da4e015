"""What a person can send when something fails: versions, system, card, driver and checks; no names, no paths."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import bpy
from bpy.types import Context, Operator

from ..core.models import catalogue
from .jobs.job import Job, JobOperator
from .jobs.thread_job import Tell, ThreadJob
from .state.online import allowed
from .state.places import Places, environment_in, places
from .state.session import session

if TYPE_CHECKING:
    from ..core.devices.cards import Graphics
    from ..core.worker.protocol import State

MANIFEST = Path(__file__).resolve().parents[1] / "blender_manifest.toml"
PATH = re.compile(r"""(?:[A-Za-z]:\\|\\\\|(?<![\w/.])/)[^\s'",;)]+""")
GONE = "<path>"


def report(here: Places, device: State | None) -> Callable[[], str]:
    """What writes the text, which takes seconds and touches nothing of Blender's; what is Blender's is asked now.

    Parameters
    ----------
    device : what the worker says of it; None where it was not asked
    """
    blender = [
        f"Blender: {bpy.app.version_string} ({bpy.app.build_hash.decode('ascii', 'replace')}), Python {sys.version.split()[0]}",
        f"Online access: {'on' if allowed() else 'off'}, chosen device: {here.build.label}",
    ]

    def write() -> str:
        import sysconfig  # late: enabling the add-on should not pay for it
        import tomllib

        from ..core.devices import support
        from ..core.devices.cards import find_graphics

        manifest = tomllib.loads(MANIFEST.read_text("utf-8"))
        environment = environment_in(here.environment)
        status, info = environment.state(), environment.info()
        lines = [
            f"{manifest['name']} {manifest['version']}", *blender,
            f"System: {platform.system()} {platform.release()} {platform.machine()}, {'-'.join(platform.libc_ver())}, "
            f"{os.cpu_count()} processors",
            f"Platform of wheels: {sysconfig.get_platform()} ({support.HERE or 'there are wheels of all packages'})",
            f"Graphics: {graphics_line(find_graphics())}",
            f"Dependencies: {status.state.value} ({anonymous(status.reason, here)})",
        ]  # fmt: skip
        if status.warning:
            lines.append(f"Warning: {anonymous(status.warning, here)}")
        if info is not None and info.torch_build:
            versions = ", ".join(f"{name} {version}" for name, version in info.versions.items())
            lines.append(f"Installed: Python {info.python}, PyTorch for {info.torch_build}, {versions}")
        lines.append(f"Device: {device_line(device)}")
        if device is not None and device.warning:
            lines.append(f"Warning: {anonymous(device.warning, here)}")
        installed = ", ".join(model.name for model in catalogue.installed(here.models))
        lines.append(f"Models: {installed or 'none'}")
        for what, folder in (("dependencies", here.environment), ("models", here.models)):
            lines.append(f"Free disk for {what}: {free_disk(folder)}")
        return "\n".join(lines) + "\n"

    return write


def anonymous(text: str, here: Places) -> str:
    """A sentence without paths and without the names of person and machine."""
    for folder in (here.environment, here.models, Path.home()):
        text = text.replace(str(folder), GONE)
    text = PATH.sub(GONE, text)
    for name, instead in ((_user(), "<user>"), (platform.node(), "<machine>")):
        if name:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", instead, text, flags=re.IGNORECASE)
    return text


def graphics_line(graphics: Graphics) -> str:
    """What the drivers say."""
    if graphics.nvidia is None:
        return "AMD" if graphics.amd else "no card that computes was found"
    capability = "{}.{}".format(*graphics.capability) if graphics.capability else "unknown"
    return f"{graphics.name or 'NVIDIA'}, compute capability {capability}, driver {graphics.nvidia or 'unknown'}"


def device_line(device: State | None) -> str:
    """What the worker says."""
    if device is None:
        return "not asked"
    free = f", {device.free_memory / 2**30:.1f} GiB free" if device.free_memory else ""
    return f"{device.device} ({device.device_name}{free})"


def free_disk(folder: Path) -> str:
    """On the disk of a folder that may not be there yet."""
    there = next((path for path in (folder, *folder.parents) if path.is_dir()), None)
    return f"{shutil.disk_usage(there).free / 1e9:.1f} GB" if there else "unknown"


def _user() -> str:
    import getpass  # late, as above

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user, as in some containers
        return ""


def to_clipboard(text: str) -> None:
    """For pasting elsewhere."""
    bpy.context.window_manager.clipboard = text


class DA3_OT_copy_report(JobOperator, Operator):
    """Copy versions, system, graphics card, driver and checks, to be sent with a report of a fault; no names and no paths"""

    bl_idname = "da3.copy_report"
    bl_label = "Copy Report"

    def make_job(self, context: Context) -> Job:
        write = report(places(context), session(context).device)
        texts: list[str] = []

        def work(_tell: Tell, _cancelled: Callable[[], bool]) -> str:
            texts.append(write())
            return "The report is in the clipboard: paste it where you tell of the fault"

        return ThreadJob(session(context), "Copy Report", work, lambda: to_clipboard("".join(texts)))


CLASSES = (DA3_OT_copy_report,)
register, unregister = bpy.utils.register_classes_factory(CLASSES)

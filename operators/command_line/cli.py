"""The command line: ``blender --command da3 ...``, and ``tools/da3.py ...`` where there is only the ``bpy`` module."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import bpy

from ...core.errors import BadInput, Cancelled, DA3Error
from ...core.files.names import readable
from ...core.frames.input_files import inputs_of
from ...core.installer.condition import State
from ...core.installer.environment import Environment
from ...core.installer.place import has_ray
from ...core.installer.torch_builds import Device
from ...core.models import catalogue, files
from ...core.models.folder import size_text
from ...core.worker.protocol import REFINED
from ...nodes.datablocks import scene as scenes
from ...nodes.datablocks import splat_nodes
from ...nodes.datablocks.created import is_there
from ...nodes.edits import look
from ...nodes.preview import render_preview
from .. import fault_report
from ..dependencies import install_job, ray_job
from ..jobs.device_job import InfoJob
from ..jobs.generation import GenerateJob
from ..jobs.model_jobs import DownloadJob
from ..jobs.rebuilding import RebuildJob
from ..state import properties
from ..state.online import allowed, require
from ..state.places import Places, places
from ..state.session import Session, Status, session, status_text
from . import shots
from .arguments import check_input, check_outputs, check_refining, parse, settings_of
from .saving import beside, save_scene, unfinished, write_report

SAVED_WITH_FAILURES = 5  # exit code


def main(argv: Sequence[str]) -> int:
    """Run one command; the exit code: 0 done, 2 bad input, 3 no environment or model, 4 cancelled, 5 saved but something
    beside the scene failed, 1 the rest, and a shot of a list that failed.

    The last line on stderr is what a person should read; the result is on stdout.
    """
    try:
        arguments = parse(argv)
        with _CtrlC() as ctrl_c:
            try:
                return COMMANDS[arguments.command](arguments, ctrl_c)
            finally:
                session(bpy.context).close()
    except SystemExit as leaving:  # --help
        return int(leaving.code or 0)
    except DA3Error as error:
        _say(" ".join(str(error).split()))
        return error.exit_code
    except Exception as error:  # noqa: BLE001  # the edge: whatever it was becomes one line
        traceback.print_exc()
        _say(f"Unexpected error: {type(error).__name__}: {' '.join(str(error).split())}")
        return 1


class _CtrlC:
    """Ctrl-C asks to stop instead of throwing through Blender; ``pressed()`` says whether it did."""

    def __init__(self) -> None:
        self._pressed = False

    def __call__(self) -> bool:
        return self._pressed

    def __enter__(self) -> _CtrlC:
        self._before = signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before or signal.SIG_DFL)

    def _press(self, _number: int, _frame: FrameType | None) -> None:
        self._pressed = True


def _generate(arguments: argparse.Namespace, asked_to_stop: Callable[[], bool]) -> int:
    if arguments.inputs:
        listed = shots.chosen(shots.read(arguments.inputs, arguments), arguments.only)
        return shots.run(listed, lambda shot: _one(shot, asked_to_stop), _say, skip_done=arguments.skip_done)
    return _one(arguments, asked_to_stop)


def _one(arguments: argparse.Namespace, asked_to_stop: Callable[[], bool]) -> int:
    here = places(bpy.context)
    settings = settings_of(arguments, catalogue.best_installed(here.models).name)
    if arguments.refine_splats:
        settings = replace(settings, splats=True)
        check_refining(settings, draws_splats=splat_nodes.DRAWN, keeps_runs=here.kept_bytes > 0)
    if settings.splats and not splat_nodes.DRAWN:
        _say(f"Blender {bpy.app.version_string} draws no splats (5.3 does): the scene gets flat discs on the surfaces")
    for path in inputs_of(settings.input, settings.more_inputs):
        check_input(path)
    check_outputs(arguments.output, arguments.render, arguments.report, Path(settings.input))
    catalogue.require(settings.model, here.models)
    chosen = "" if hasattr(arguments, "setting_model") else ", the best that is installed"
    _say(f"Model: {settings.model}{chosen}")

    started = time.monotonic()
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    scene = bpy.context.scene
    scenes.photo_colors(scene)
    properties.write(scene, settings)
    reporter = _ConsoleReporter(session(bpy.context))
    job = GenerateJob(session(bpy.context), scene, settings, here, online=allowed(arguments.online))
    try:
        job.run(asked_to_stop, reporter)
    except Cancelled:
        raise
    except DA3Error as error:
        if job.collection is None or not is_there(job.collection) or not job.collection.all_objects:
            raise
        file = unfinished(arguments.output)
        save_scene(file)
        raise type(error)(f"{error}. What was built until then is in '{file}'") from error
    report = job.report()
    _timed(report, "save", lambda: save_scene(arguments.output))
    if arguments.refine_splats:
        again = RebuildJob(session(bpy.context), scene, settings, here, job.collection, REFINED)
        beside(report, "scene with refined splats", arguments.output, lambda: _timed(
            report, "refine", lambda: _refine(again, report, arguments.output, asked_to_stop, reporter)
        ))  # fmt: skip
    if arguments.render:
        file = arguments.render
        beside(report, "picture", file, lambda: _timed(report, "render", lambda: _render(job, file)))
    report["seconds"]["total"] = round(time.monotonic() - started, 3)
    if arguments.report:
        beside(report, "report", arguments.report, lambda: write_report(arguments.report, report))
    seconds = report["seconds"]["total"]
    made = f"{report['points']:,} points from {report['frames']} of {report['frames_wanted']} images in {seconds:.0f} s"
    print(f"{readable(str(arguments.output))}: {made}")
    if report["failures"]:
        _say(f"The scene was saved, but: {'. '.join(report['failures'])}")
    return SAVED_WITH_FAILURES if report["failures"] else 0


def _refine(
    job: RebuildJob, report: dict[str, Any], file: Path, asked_to_stop: Callable[[], bool], reporter: _ConsoleReporter
) -> None:
    """The scene once more, with refined splats; a run that is kept has what they are fitted to."""
    job.run(asked_to_stop, reporter)
    made = job.report()
    report |= {key: made[key] for key in ("objects", "cameras", "points")}
    for key in ("warnings", "failures"):
        report[key] += made[key]
    report["files"] = list(dict.fromkeys(report["files"] + made["files"]))
    save_scene(file)


def _timed(report: dict[str, Any], stage: str, work: Callable[[], None]) -> None:
    _say(f"{stage.capitalize()} ...")
    started = time.monotonic()
    work()
    report["seconds"][stage] = round(time.monotonic() - started, 3)


def _render(job: GenerateJob, file: Path) -> None:
    assert job.collection
    run = job.collection
    unseen = (look.CAMERAS, look.TRACKS)
    clouds = [obj for obj in run.all_objects if obj.type == "MESH" and look.kind_of(run, obj) not in unseen]
    fused = look.objects_of(run, look.SURFACE)  # one surface says what the cloud would say a second time
    render_preview(fused or clouds, look.objects_of(run, look.CAMERAS), file.resolve())


def _install(arguments: argparse.Namespace, asked_to_stop: Callable[[], bool]) -> int:
    here = places(bpy.context)
    environment = Environment(here.environment)
    wheels = Path(arguments.wheels).expanduser().absolute() if arguments.wheels else here.wheels
    if wheels is None:
        require("Installing", arguments.online)
    device = Device(arguments.device) if arguments.device else here.build
    job = install_job(session(bpy.context), environment, device, wheels, repair=arguments.repair)
    job.run(asked_to_stop, _ConsoleReporter(session(bpy.context)))
    if arguments.ray:
        ray_job(session(bpy.context), environment, wheels).run(asked_to_stop, _ConsoleReporter(session(bpy.context)))
    print(f"{environment.folder}: {environment.state().reason}{', with Ray' if has_ray(environment.folder) else ''}")
    return 0


def _models(arguments: argparse.Namespace, asked_to_stop: Callable[[], bool]) -> int:
    here = places(bpy.context)
    if arguments.action == "list":
        _list_models(here)
        return 0
    model = catalogue.find(arguments.name)
    if not model.needs_file:
        raise BadInput(f"{model.label} has no file to {arguments.action}")
    if arguments.action == "remove":
        freed = files.remove(model.name, here.models)
        print(f"{catalogue.path(model, here.models)} was removed, {size_text(freed)} are free again")
        return 0
    require("Downloading", arguments.online)
    _say(f"{model.label}: {size_text(model.file_bytes)}, licence {model.licence}")
    DownloadJob(session(bpy.context), model, here).run(asked_to_stop, _ConsoleReporter(session(bpy.context)))
    print(catalogue.path(model, here.models))
    return 0


def _list_models(here: Places) -> None:
    contents = files.recognise(here.models)
    broken = {file.name for file in contents.broken}
    print(f"Folder: {here.models}")
    for m in catalogue.MODELS:
        state = "needs no file" if not m.needs_file else "installed" if m in contents.models else "not installed"
        state = "broken file" if m.needs_file and m.file_name in broken else state
        size = f"{m.file_bytes / 2**20:,.0f} MiB" if m.needs_file else ""
        print(f"{m.name:26} {state:14} {size:>10}  {m.licence}")


def _doctor(arguments: argparse.Namespace, asked_to_stop: Callable[[], bool]) -> int:
    here = places(bpy.context)
    if arguments.report:
        with contextlib.suppress(DA3Error):  # what keeps the worker from saying it stands in the report
            InfoJob(session(bpy.context), here).run(asked_to_stop)
        print(fault_report.report(here, session(bpy.context).device)(), end="")
        return 0
    print(f"Blender: {bpy.app.version_string}, Python {sys.version.split()[0]}")
    print(f"Models: {here.models}")
    print(
        f"Installed models: {', '.join(m.name for m in catalogue.installed(here.models)) or 'none'}; classic needs none"
    )
    print(f"Environment: {here.environment}")
    status = Environment(here.environment).state()
    if not os.environ.get("DA3_WORKER_PYTHON") and status.state is not State.READY:
        print("Ready: no")
        _say(f"{status.reason}. Run: da3 install")
        return 3
    InfoJob(session(bpy.context), here).run(asked_to_stop)
    state = session(bpy.context).device
    assert state
    packages = ", ".join(f"{name} {version}" for name, version in state.versions.items())
    print(f"Worker: {packages}")
    free = f", {state.free_memory / 2**30:.1f} GiB free" if state.free_memory else ""
    print(f"Device: {here.device or state.device} ({state.device_name}{free})")
    if state.warning:
        _say(state.warning)
    print("Ready: yes")
    return 0


class _ConsoleReporter:
    """Progress of a job, in lines on stderr: at a new stage, and every few seconds."""

    INTERVAL = 5.0  # seconds

    def __init__(self, session: Session):
        self._session = session
        self._stage = ""
        self._warnings = 0
        self._last = 0.0

    def __call__(self) -> None:
        status: Status = self._session.status
        for message in status.warnings[self._warnings :]:
            _say(message)
        self._warnings = len(status.warnings)
        if status.stage and (status.stage != self._stage or time.monotonic() - self._last > self.INTERVAL):
            self._stage, self._last = status.stage, time.monotonic()
            _say(status_text(status) + (f" ({status.detail})" if status.detail else ""))


def _say(line: str) -> None:
    sys.stdout.flush()  # so that the order is right where both end in one place
    print(f"da3: {readable(line)}", file=sys.stderr, flush=True)


COMMANDS: dict[str, Callable[[argparse.Namespace, Callable[[], bool]], int]] = {
    "generate": _generate,
    "install": _install,
    "models": _models,
    "doctor": _doctor,
}

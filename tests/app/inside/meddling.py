"""What a person may do to a scene while a run builds into it; ends with Blender being closed during a run.

The worker has a stand-in for its model ($DA3_PREDICTOR) with a pass of ten seconds, so every moment is met for sure.
"""

import os
import sys
import time
from pathlib import Path

import bpy
import driver as ui

STAND_INS = Path(os.environ["DA3_STAND_INS"])
QUICK, SLOW = f"{STAND_INS}:quick", f"{STAND_INS}:slow"


def clouds():
    return sorted(
        o.name for c in bpy.context.scene.collection.children_recursive for o in c.objects if o.type == "MESH"
    )


def tops():
    return [c.name for c in bpy.context.scene.collection.children if c.name.startswith("courtyard")]


def use(predictor):
    ui.session().close()
    os.environ["DA3_PREDICTOR"] = predictor
    ui.choose("da3-small", 252)


def in_the_pass():
    ui.generate()
    yield from ui.until(lambda: ui.session().status.stage == "model" and ui.session().status.fraction > 0)


def undo():
    with ui.over():
        return bpy.ops.ed.undo()


def gone(pid):
    yield from ui.until(lambda: not ui.alive(pid), 5, 0.02)


def hold_the_end():
    """Have the run wait with its end, so that there is a time in which its batch is built and it still runs."""
    generation, protocol = (
        sys.modules[f"{ui.NAME}.{name}"] for name in ("operators.jobs.generation", "core.worker.protocol")
    )
    receive, held = generation.GenerateJob._receive, [True]

    def slowly(job, event):
        if isinstance(event, protocol.Done) and held[0]:
            job._inbox.append(event)
        else:
            receive(job, event)

    generation.GenerateJob._receive = slowly

    def let_go():
        held[0] = False
        generation.GenerateJob._receive = receive

    return let_go


def built_but_not_ended():
    """A run whose batch is in the scene; what is returned lets it end."""
    use(QUICK)
    let_go = hold_the_end()
    ui.generate()
    yield from ui.until(lambda: ui.session().job is None or ui.session().job.changed)
    return let_go


def scenario():
    os.environ["DA3_PREDICTOR"] = QUICK
    ui.install()
    yield from ui.open_tab()
    # a whole run is one undo step
    use(QUICK)
    bpy.ops.ed.undo_push(message="settings")
    before = sorted(o.name for o in bpy.data.objects)
    ui.generate()
    yield from ui.until(lambda: ui.session().job is None)
    yield 0.3
    built = clouds()
    undo()
    ui.record(whole_run=len(built), after_one_undo=sorted(o.name for o in bpy.data.objects) == before and not tops())
    yield 0.2
    with ui.over():
        bpy.ops.ed.redo()
    ui.record(after_redo=clouds() == built)
    undo()
    yield 0.2

    # Ctrl-Z in a run is not for the scene; an undo that comes by the menu after the batch was built: it is built again
    let_go = yield from built_but_not_ended()
    with ui.over():
        bpy.ops.mesh.primitive_cube_add()
    yield 0.3
    ui.keys.press("move 400 500")
    ui.keys.press("key ctrl+z")
    yield 0.4
    ui.record(ctrl_z_leaves_the_cube="Cube.001" in bpy.data.objects, runs=ui.session().job is not None)
    undo()
    yield 0.8
    with ui.over():
        bpy.ops.ed.redo()
    yield 0.8
    undo()
    yield 0.8
    let_go()
    yield from ui.until(lambda: ui.session().job is None)
    yield 0.3
    ui.record(undone_in_a_run=ui.session().status.outcome, failed=ui.session().status.failed, rebuilt=clouds() == built)
    undo()
    yield 0.3

    # the target collection is deleted
    let_go = yield from built_but_not_ended()
    bpy.data.collections.remove(bpy.data.collections[tops()[0]])
    yield from ui.until(lambda: ui.session().job is None, 5)
    ui.record(collection_deleted=ui.session().status.outcome)
    let_go()
    yield from ui.settle()
    ui.shot("collection_deleted")

    # another workspace, then another file
    use(SLOW)
    yield from in_the_pass()
    ui.window().workspace = bpy.data.workspaces["Modeling"]
    yield 0.5
    ui.record(other_workspace=ui.session().job is not None)
    pids = list(ui.descendants())
    bpy.ops.wm.read_homefile(use_factory_startup=False)
    yield 0.5
    ui.record(other_file=ui.session().job is None, outcome=ui.session().status.outcome)
    ui.session().close()
    for pid in pids:
        yield from gone(pid)
    ui.record(processes_after_other_file=len(ui.descendants()), of=len(pids))

    # the add-on is disabled
    use(SLOW)
    yield from in_the_pass()
    pids = list(ui.descendants())
    bpy.ops.preferences.addon_disable(module=ui.NAME)
    for pid in pids:
        yield from gone(pid)
    ui.record(processes_after_disabling=len(ui.descendants()), of=len(pids))
    bpy.ops.preferences.addon_enable(module=ui.NAME)
    yield 0.3

    # Blender is closed
    use(SLOW)
    yield from in_the_pass()
    ui.record(closed_with=len(ui.descendants()), at=time.monotonic())

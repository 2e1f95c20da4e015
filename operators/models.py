"""Models: download, remove, move, unload."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import BoolProperty, StringProperty
from bpy.types import Context, Event, Operator, OperatorProperties

from ..core.errors import BadInput, DA3Error
from ..core.models import catalogue
from ..core.models.folder import size_text
from .jobs.job import Job, JobOperator
from .state.needs import environment_lack
from .state.places import places, preferences
from .state.polling import PollMessage, why_busy
from .state.session import session


def _describe(properties: OperatorProperties, verb: str) -> str:
    model = catalogue.find(properties.model)
    return f"{verb} {model.label} ({size_text(model.file_bytes)}, licence {model.licence})"


class DA3_OT_fetch_model(JobOperator, Operator):
    """Download a model from Hugging Face; what a cancelled download has brought is kept for the next time"""

    bl_idname = "da3.fetch_model"
    bl_label = "Download Model"

    model: StringProperty(  # type: ignore[valid-type]
        name="Model", description="Name of the model; empty: the one chosen in the panel", options={"SKIP_SAVE"}
    )

    @classmethod
    def why_not(cls, context: Context) -> str:
        if not bpy.app.online_access:
            return why_busy(context) or "Allow Online Access in the System preferences first"
        lack = environment_lack(context, places(context))
        return why_busy(context) or ("Install the dependencies first: they bring what downloads" if lack else "")

    @classmethod
    def description(cls, _context: Context, properties: OperatorProperties) -> str:
        if not properties.model:
            return str(cls.__doc__)
        return f"{_describe(properties, 'Download')}. What a cancelled download has brought is kept for the next time"

    def make_job(self, context: Context) -> Job:
        from .jobs.model_jobs import DownloadJob  # late: enabling the add-on should not pay for it

        model = catalogue.find(self.model or context.scene.da3.model)
        return DownloadJob(session(context), model, places(context))


class DA3_OT_choose_model(Operator):
    """Choose the model; files that are new begin with it, too"""

    bl_idname = "da3.choose_model"
    bl_label = "Choose Model"
    bl_options = {"UNDO", "INTERNAL"}

    model: StringProperty(name="Model", description="Name of the model")  # type: ignore[valid-type]

    @classmethod
    def description(cls, _context: Context, properties: OperatorProperties) -> str:
        model = catalogue.known(properties.model)
        return f"{model.purpose}. Licence: {model.licence}" if model else str(cls.__doc__)

    def execute(self, context: Context) -> set[str]:
        if catalogue.known(self.model) is None:
            self.report({"ERROR"}, f"There is no model '{self.model}'")
            return {"CANCELLED"}
        context.scene.da3.model = self.model
        chosen = preferences(context)
        if chosen is not None:
            chosen.last_model = self.model
        return {"FINISHED"}


class DA3_OT_remove_model(PollMessage, Operator):
    """Delete a model's file"""

    bl_idname = "da3.remove_model"
    bl_label = "Remove Model"

    model: StringProperty(  # type: ignore[valid-type]
        name="Model", description="Name of the model; empty: the one chosen in the panel", options={"SKIP_SAVE"}
    )

    @classmethod
    def description(cls, _context: Context, properties: OperatorProperties) -> str:
        return _describe(properties, "Delete the file of") if properties.model else str(cls.__doc__)

    def invoke(self, context: Context, event: Event) -> set[str]:
        label = catalogue.find(self.model or context.scene.da3.model).label
        return context.window_manager.invoke_confirm(
            self, event, title=f"Remove {label}?", message="The file is deleted. It can be downloaded again.",
            confirm_text="Remove",
        )  # fmt: skip

    def execute(self, context: Context) -> set[str]:
        from ..core.models import files  # late, as above

        name = self.model or context.scene.da3.model
        if session(context).model == name:
            session(context).unload()  # Windows deletes no file that is open
        try:
            freed = files.remove(name, places(context).models)
        except DA3Error as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        session(context).forget_models()
        self.report({"INFO"}, f"{catalogue.find(name).label} was removed, {size_text(freed)} are free again")
        return {"FINISHED"}


class DA3_OT_bring_models(JobOperator, Operator):
    """Move models from another folder, such as that of the original add-on, into the model folder"""

    bl_idname = "da3.bring_models"
    bl_label = "Move Existing Models"

    directory: StringProperty(  # type: ignore[valid-type]
        name="From", description="The folder that the models are in now", subtype="DIR_PATH", options={"SKIP_SAVE"}
    )
    unknown_networks: BoolProperty(  # type: ignore[valid-type]
        name="Unknown Networks Too",
        description="Segmentation networks whose SHA-256 no public source states; say so only where you trust their origin",
        options={"SKIP_SAVE"},
    )
    filter_folder: BoolProperty(  # type: ignore[valid-type]
        name="Folders", description="Show folders", default=True, options={"HIDDEN", "SKIP_SAVE"}
    )

    def invoke(self, context: Context, event: Event) -> set[str]:
        if not self.directory and not bpy.app.background:
            context.window_manager.fileselect_add(self)
            return {"RUNNING_MODAL"}
        return super().invoke(context, event)

    def execute(self, context: Context) -> set[str]:
        if bpy.app.background:
            return super().execute(context)
        # After the file browser: Blender frees the operator that opened it, so another one becomes the running job.
        bpy.ops.da3.bring_models("INVOKE_DEFAULT", directory=self.directory, unknown_networks=self.unknown_networks)
        return {"FINISHED"}

    def make_job(self, context: Context) -> Job:
        if not self.directory:
            raise BadInput("Choose the folder that the models are in now")
        from .jobs.model_jobs import move_job  # late, as above

        session(context).unload()
        source = Path(bpy.path.abspath(self.directory))
        return move_job(session(context), source, places(context).models, unknown_networks=self.unknown_networks)


class DA3_OT_free_model(PollMessage, Operator):
    """Free the memory that the loaded model holds"""

    bl_idname = "da3.free_model"
    bl_label = "Unload Model"

    @classmethod
    def why_not(cls, context: Context) -> str:
        return why_busy(context) or ("" if session(context).model else "No model is loaded")

    def execute(self, context: Context) -> set[str]:
        name = session(context).model
        session(context).unload()
        self.report({"INFO"}, f"{name} is unloaded")
        return {"FINISHED"}


CLASSES = (DA3_OT_choose_model, DA3_OT_fetch_model, DA3_OT_remove_model, DA3_OT_bring_models, DA3_OT_free_model)
register, unregister = bpy.utils.register_classes_factory(CLASSES)

"""A stand-in for DA3-blender: classes and scene properties of its names, none of its work."""

import bpy

OPERATORS = (
    "da3.download_model", "da3.unload_model", "da3.generate_point_cloud", "da3.move_models", "da3.install_dependencies",
    "da3.install_streaming_deps", "da3.update_da3_repo", "da3.run_streaming",
)  # fmt: skip
PROPERTIES = ("da3_input_folder", "da3_model_name", "da3_output_folder")


def _operator(idname):
    def execute(self, context):
        context.scene["original_ran"] = idname
        return {"FINISHED"}

    name = "Original_" + idname.replace(".", "_")
    return type(name, (bpy.types.Operator,), {"bl_idname": idname, "bl_label": idname, "execute": execute})


def _draw(self, _context):
    self.layout.label(text="DA3")


class Original:
    """Register and unregister as Blender does with an add-on."""

    def __init__(self):
        panel = {"bl_label": "DA3", "bl_idname": "VIEW3D_PT_da3", "bl_space_type": "VIEW_3D", "bl_region_type": "UI"}
        panel |= {"bl_category": "DA3", "draw": _draw}
        self.classes = [*map(_operator, OPERATORS), type("DA3Panel", (bpy.types.Panel,), panel)]

    def register(self):
        for cls in self.classes:
            bpy.utils.register_class(cls)
        for name in PROPERTIES:
            setattr(bpy.types.Scene, name, bpy.props.StringProperty())

    def unregister(self):
        for name in PROPERTIES:
            delattr(bpy.types.Scene, name)
        for cls in reversed(self.classes):
            bpy.utils.unregister_class(cls)

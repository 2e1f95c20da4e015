"""Depth Anything 3 in Blender: registers the add-on, nothing else."""


def register() -> None:
    from . import addon

    addon.register()


def unregister() -> None:
    from . import addon

    addon.unregister()

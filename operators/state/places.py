"""Where things are and what computes, from the preferences, the environment and Blender's own folders."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import bpy
from bpy.types import AddonPreferences, Context

from ...core.files.user_cache import KEPT_BYTES, kept_runs_folder
from ...core.files.windows import environment_parent
from ...core.installer.condition import default_folder
from ...core.installer.torch_builds import Device

if TYPE_CHECKING:
    from ...core.installer.environment import Environment

ADDON = __package__.partition(".operators")[0]  # "bl_ext.<repository>.da3_blender", or "da3_blender" for the tools

#: How torch names what the dependencies are installed for; ROCm's build answers to CUDA's name.
TORCH_NAMES = {Device.AUTO: None, Device.CUDA: "cuda", Device.ROCM: "cuda", Device.METAL: "mps", Device.CPU: "cpu"}


@dataclass(frozen=True)
class Places:
    """What jobs are told that is not a setting of the scene."""

    environment: Path
    models: Path
    build: Device = Device.AUTO  # which build of PyTorch is to be installed
    wheels: Path | None = None  # install from this folder, without network
    endpoint: str | None = None  # of the Hugging Face hub
    token: str | None = None
    kept_runs: Path = field(default_factory=kept_runs_folder)  # runs that can be built again without the model
    kept_bytes: int = KEPT_BYTES  # most that they may take; 0 keeps none
    all_cards: bool = False  # passes of the model on all of this machine's, where Ray is installed

    @property
    def device(self) -> str | None:
        """What computes, as torch names it; None: the best there is."""
        return TORCH_NAMES[self.build]

    @property
    def is_development(self) -> bool:
        """Whether ``$DA3_WORKER_PYTHON`` names an interpreter to take as it is."""
        return bool(os.environ.get("DA3_WORKER_PYTHON"))

    def has_ray(self) -> bool:
        """Whether this version's Ray is installed."""
        from ...core.installer.place import has_ray  # late: enabling the add-on should not pay for it

        return has_ray(self.environment)

    def worker_python(self) -> Path:
        """The worker's interpreter: ``$DA3_WORKER_PYTHON`` (development), else the environment's.

        Raises
        ------
        MissingEnvironment
            The environment is not ready; the sentence says why.
        """
        if self.is_development:
            return Path(os.environ["DA3_WORKER_PYTHON"])
        return environment_in(self.environment).require()


def environment_in(folder: Path) -> Environment:
    """The worker's environment there."""
    from ...core.installer.environment import Environment  # late: enabling the add-on should not pay for it

    return Environment(folder)


def places(context: Context) -> Places:
    """From the preferences, then ``$DA3_ENVIRONMENT`` and ``$DA3_MODELS``, then the add-on's own folder for its data."""
    chosen = preferences(context)
    folder = default_environment_folder()
    if chosen is None:
        return Places(folder, default_model_folder())
    return Places(
        _path(chosen.environment_folder) or folder,
        _path(chosen.model_folder) or default_model_folder(),
        Device(chosen.device),
        _path(chosen.wheel_folder),
        chosen.hub_endpoint.strip() or None,
        chosen.hub_token.strip() or None,
        _path(chosen.kept_folder) or kept_runs_folder(),
        round(chosen.kept_gigabytes * 1e9),
        chosen.cards == "all",
    )


def preferences(context: Context) -> AddonPreferences | None:
    """The add-on's preferences; None where it runs without being an add-on (the tools)."""
    addon = context.preferences.addons.get(ADDON)
    return addon.preferences if addon else None


def _path(text: str) -> Path | None:
    return Path(bpy.path.abspath(text)) if text else None


def default_environment_folder() -> Path:
    """``$DA3_ENVIRONMENT``, else a folder beside the add-on's other data; on Windows where paths are short."""
    local = os.environ.get("LOCALAPPDATA") if sys.platform == "win32" else None
    if local and ADDON.startswith("bl_ext."):
        return default_folder(Path(environment_parent(local, "{}.{}".format(*bpy.app.version))))
    return default_folder(data_folder())


def default_model_folder() -> Path:
    """``$DA3_MODELS``, else ``models`` in the data folder of an extension or in the checkout."""
    if os.environ.get("DA3_MODELS"):
        return Path(os.environ["DA3_MODELS"]).expanduser()
    if ADDON.startswith("bl_ext."):  # the extension's own folder is replaced by an update
        return data_folder() / "models"
    return Path(__file__).resolve().parents[2] / "models"


def data_folder() -> Path:
    """Where what the add-on installs survives its own update."""
    if ADDON.startswith("bl_ext."):
        return Path(bpy.utils.extension_path_user(ADDON))
    return Path(bpy.utils.user_resource("DATAFILES")) / ADDON

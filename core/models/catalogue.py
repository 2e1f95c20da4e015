"""The table of models, and which of their files are there. Nothing in here loads or downloads one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import MissingModel

REPLACED = "For old files; 1.1 is better"
APACHE = "Apache-2.0"
NON_COMMERCIAL = "CC BY-NC 4.0"
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class ModelInfo:
    """One row of the table.

    ``config`` is a name of the ``depth_anything_3`` package's registry or the path of a YAML file in its form; None
    where nothing is loaded (``classic``). The flags say what a prediction of the model has.
    """

    name: str
    label: str
    licence: str
    repo: str | None = None  # on Hugging Face; the file there is model.safetensors
    config: str | None = None
    parameters: int = 0  # what the file holds, gaussian heads included
    gives_cameras: bool = True
    is_metric: bool = False  # depth and cameras come out in metres
    metric_focal: float | None = None  # depth in metres is depth * focal / metric_focal, focal in processed pixels
    obsolete: bool = False
    purpose: str = ""  # what it is for, in a few words

    @property
    def needs_file(self) -> bool:
        return self.config is not None

    @property
    def file_name(self) -> str:
        return self.name + SUFFIX

    @property
    def file_bytes(self) -> int:
        """Size of the weights in float32, to within the file's header of some 100 KB."""
        return 4 * self.parameters


@dataclass(frozen=True)
class _Net:
    """What the models of one network have in common; counted on the networks themselves."""

    config: str
    parameters: int


_SMALL = _Net("da3-small", 34_299_463)
_BASE = _Net("da3-base", 135_366_599)
_LARGE = _Net("da3-large", 410_941_767)
_GIANT = _Net("da3-giant", 1_355_674_125)
_METRIC = _Net("da3metric-large", 334_171_394)
_MONO = _Net("da3mono-large", 334_171_394)
_NESTED = _Net("da3nested-giant-large", 1_689_845_519)


def _any_view(
    name: str, label: str, repo: str, net: _Net, licence: str, purpose: str, obsolete: bool = False
) -> ModelInfo:
    return ModelInfo(
        name, label, licence, f"depth-anything/{repo}", net.config, net.parameters, obsolete=obsolete, purpose=purpose
    )


def _one_view(name: str, label: str, repo: str, net: _Net, metric_focal: float | None, purpose: str) -> ModelInfo:
    return ModelInfo(
        name, label, APACHE, f"depth-anything/{repo}", net.config, net.parameters,
        gives_cameras=False, metric_focal=metric_focal, purpose=purpose,
    )  # fmt: skip


def _nested(name: str, label: str, repo: str, obsolete: bool = False) -> ModelInfo:
    return ModelInfo(
        name, label, NON_COMMERCIAL, f"depth-anything/{repo}", _NESTED.config, _NESTED.parameters,
        is_metric=True, obsolete=obsolete, purpose=REPLACED if obsolete else "Best, in metres",
    )  # fmt: skip


CLASSIC = ModelInfo("classic", "Classic (no download)", "GPL-3.0-or-later", purpose="Overlapping images, no download")

#: In the order of the panel.
MODELS: tuple[ModelInfo, ...] = (
    CLASSIC,
    _any_view("da3-small", "DA3 Small", "DA3-SMALL", _SMALL, APACHE, "Fastest, least memory"),
    _any_view("da3-base", "DA3 Base", "DA3-BASE", _BASE, APACHE, "Fast"),
    _any_view("da3-large-1.1", "DA3 Large 1.1 (recommended)", "DA3-LARGE-1.1", _LARGE, NON_COMMERCIAL, "Precise"),
    _any_view("da3-giant-1.1", "DA3 Giant 1.1", "DA3-GIANT-1.1", _GIANT, NON_COMMERCIAL, "Most precise, slow"),
    _one_view(
        "da3metric-large",
        "DA3 Metric Large",
        "DA3METRIC-LARGE",
        _METRIC,
        metric_focal=300.0,
        purpose="Single images, in metres",
    ),
    _one_view("da3mono-large", "DA3 Mono Large", "DA3MONO-LARGE", _MONO, metric_focal=None, purpose="Single images"),
    _nested("da3nested-giant-large-1.1", "DA3 Nested Giant Large 1.1", "DA3NESTED-GIANT-LARGE-1.1"),
    _any_view("da3-large", "DA3 Large (obsolete)", "DA3-LARGE", _LARGE, NON_COMMERCIAL, REPLACED, obsolete=True),
    _any_view("da3-giant", "DA3 Giant (obsolete)", "DA3-GIANT", _GIANT, NON_COMMERCIAL, REPLACED, obsolete=True),
    _nested("da3nested-giant-large", "DA3 Nested Giant Large (obsolete)", "DA3NESTED-GIANT-LARGE", obsolete=True),
)

#: Which one knows metres, for Use Metric.
METRES = "da3metric-large"

#: Which one the command line takes when it is not told, first found first.
PREFERENCE = ("da3-large-1.1", "da3-base", "da3-small")


def find(name: str) -> ModelInfo:
    """The model of that name.

    Raises
    ------
    MissingModel
        There is none; the sentence lists those there are.
    """
    for model in MODELS:
        if model.name == name:
            return model
    raise MissingModel(f"There is no model '{name}'. Models: {', '.join(m.name for m in MODELS)}")


def known(name: str) -> ModelInfo | None:
    """The model of that name; None where there is none, as in files of a later version."""
    return next((model for model in MODELS if model.name == name), None)


def path(model: ModelInfo, folder: Path) -> Path:
    """Where the model's file belongs; ``model`` must be one that has a file."""
    if not model.needs_file:
        raise ValueError(f"{model.name} has no file")
    return Path(folder) / model.file_name


def installed(folder: Path) -> list[ModelInfo]:
    """The models whose file is in the folder, in the table's order. ``classic`` needs none and is not among them."""
    return [m for m in MODELS if m.needs_file and _there(path(m, folder))]


def best_installed(folder: Path) -> ModelInfo:
    """The first of ``PREFERENCE`` that is installed, else ``classic``."""
    names = {m.name for m in installed(folder)}
    return find(next((name for name in PREFERENCE if name in names), CLASSIC.name))


def require(name: str, folder: Path) -> Path | None:
    """The model's file, or None for a model that needs none.

    Raises
    ------
    MissingModel
        No such model, or its file is not there; the sentence says which file is expected where, and how to get it.
    """
    model = find(name)
    if not model.needs_file:
        return None
    file = path(model, folder)
    if not _there(file):
        raise MissingModel(
            f"{model.label} is not installed: there is no {file.name} in {file.parent}. Download it in the add-on's "
            f"panel, or save model.safetensors of {model.repo} (Hugging Face) there under that name"
        )
    return file


def _there(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0

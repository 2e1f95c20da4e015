"""Which known camera belongs to which image: by name, and in the image's pixels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from ..errors import BadInput
from ..files.names import listed, sequence_numbers
from ..frames.input_files import IMAGE_SUFFIXES
from ..frames.lens.bending import Lens
from ..frames.pixels import orientation
from ..geometry.projection import cameras_from_blender
from ..output.cameras import colmap
from ..output.payload import CameraRecord

if TYPE_CHECKING:
    from ..frames.frame import Header
    from ..frames.source import FrameSource

# Part by which the shapes of a camera's picture and of its image may differ: some programs round a resized image's sides.
SAME_SHAPE = 0.02


@dataclass(frozen=True)
class Candidate:
    """A camera that looks for its image."""

    name: str
    width: int  # of the picture that the intrinsics are for
    height: int
    placement: tuple[float, float, float, float]  # left, top, width, height of the image in that picture
    intrinsics: np.ndarray
    extrinsics: np.ndarray
    lens: Lens | None = None
    any_shape: bool = False  # the placement is exact: whole patches may have changed the image's shape
    stored: bool = False  # of the picture as its file holds it, which EXIF may have turned

    @classmethod
    def of_view(cls, view: colmap.View) -> Candidate:
        whole = (0.0, 0.0, float(view.width), float(view.height))
        return cls(view.name, view.width, view.height, whole, view.intrinsics, view.extrinsics, view.lens, stored=True)

    @classmethod
    def of_record(cls, record: CameraRecord) -> Candidate:
        intrinsics = np.array([[record.fx, 0.0, record.cx], [0.0, record.fy, record.cy], [0.0, 0.0, 1.0]])
        matrix = np.reshape(record.camera_to_world, (1, 4, 4))
        (extrinsics,) = cameras_from_blender(matrix)
        left, top, width, height = record.placement
        return cls(
            record.name, record.width, record.height, (left, top, width, height), intrinsics, extrinsics,
            any_shape=record.frame >= 0,
        )  # fmt: skip

    def upright(self, header: Header) -> Candidate:
        """The camera of the upright image, where this one is of the stored pixels; these are COLMAP's, which ignores EXIF.

        A picture that lies on its side in its file, but stands in the model, was turned before COLMAP saw it.
        """
        if not self.stored or header.orientation == orientation.UPRIGHT:
            return self
        lies = orientation.lies(header.orientation)
        seen, there = header.width / header.height, self.width / self.height
        if lies and abs(there / seen - 1.0) <= SAME_SHAPE and abs(seen - 1.0) > SAME_SHAPE:
            return self
        if orientation.mirrors(header.orientation):
            raise BadInput(
                f"{self.name} is stored as a mirror image (EXIF orientation {header.orientation}), which no camera of the "
                "COLMAP model can see upright: save it without that tag, or leave it out"
            )
        k, e = orientation.upright_camera(
            header.orientation, self.intrinsics, self.extrinsics, (self.width, self.height)
        )
        width, height = orientation.turned_size(header.orientation, self.width, self.height)
        whole = (0.0, 0.0, float(width), float(height))
        lens = self.lens and self.lens.turned(header.orientation)
        return replace(
            self, width=width, height=height, placement=whole, intrinsics=k, extrinsics=e, lens=lens, stored=False
        )

    def intrinsics_for(self, width: int, height: int) -> np.ndarray | None:
        """(3, 3) in pixels of an image of that size; None where its shape is another."""
        left, top, own_width, own_height = self.placement
        sx, sy = width / own_width, height / own_height
        if not self.any_shape and abs(sx / sy - 1.0) > SAME_SHAPE:
            return None
        return np.array([[sx, 0.0, -sx * left], [0.0, sy, -sy * top], [0.0, 0.0, 1.0]]) @ self.intrinsics


def numbered(candidates: Mapping[int, Candidate], first: int, frames: FrameSource, where: str) -> list[Candidate]:
    """Cameras of numbered frames, those that an image is there for, with its name.

    Parameters
    ----------
    candidates : by their frame; an image's is the number in its name
    first : the frame of the first image that is used, where names have no numbers, and of a video

    Raises
    ------
    BadInput
        There is a camera for none of the images.
    """
    there = frames.selected
    numbers = None if frames.is_video else sequence_numbers([frames.stem(i) for i in there])
    numbers = numbers or [first + i - there[0] for i in there]
    found = [
        replace(candidates[n], name=frames.names[i]) for i, n in zip(there, numbers, strict=True) if n in candidates
    ]
    if not found:
        raise BadInput(
            f"{where[0].upper()}{where[1:]} is known at the frames {min(candidates)} to {max(candidates)}, and the images are "
            f"{numbers[0]} to {numbers[-1]}: bring them to the same numbers"
        )
    return found


@dataclass(frozen=True)
class Matched:
    """``extrinsics`` (3, 4) and ``intrinsics`` (3, 3), pixels of the original, by frame; and the lenses of those that bend."""

    extrinsics: dict[int, np.ndarray]
    intrinsics: dict[int, np.ndarray]
    warnings: list[str]
    lenses: dict[int, Lens] = field(default_factory=dict)


def match(candidates: Sequence[Candidate], frames: FrameSource, where: str) -> Matched:
    """Give each selected image the camera of its name: of the whole name, else of the name without its ending.

    Parameters
    ----------
    where : the cameras come from, as a sentence can name it

    Raises
    ------
    BadInput
        There are no cameras, no image has one, two cameras want the same image, or a camera is for an image of another
        shape.
    """
    if not candidates:
        raise BadInput(f"There are no cameras in {where}")
    chosen = _by_image(candidates, frames, where)
    if not chosen:
        raise BadInput(
            f"No camera in {where} has the name of an image: its first is '{candidates[0].name}', the first image "
            f"'{frames.names[frames.selected[0]]}'"
        )
    known = Matched({}, {}, [])
    for index in frames.selected:
        if index not in chosen:
            continue
        header = frames.headers[index]
        candidate = chosen[index].upright(header)
        intrinsics = candidate.intrinsics_for(header.width, header.height)
        if intrinsics is None:
            raise BadInput(
                f"The camera '{candidate.name}' in {where} is for {candidate.width} x {candidate.height} pixels, and "
                f"{frames.names[index]} has {header.width} x {header.height}: they must have the same shape"
                + (f" (EXIF turns it, orientation {header.orientation})" if header.orientation > 1 else "")
            )
        if not (np.isfinite(intrinsics).all() and np.isfinite(candidate.extrinsics).all()):
            raise BadInput(f"The camera '{candidate.name}' in {where} holds values that are not numbers")
        known.extrinsics[index], known.intrinsics[index] = candidate.extrinsics, intrinsics
        if candidate.lens:
            known.lenses[index] = candidate.lens
    without = [frames.names[i] for i in frames.selected if i not in chosen]
    if without:
        known.warnings.append(f"Left out, since {where} has no camera for {listed(without)}")
    taken = {id(candidate) for candidate in chosen.values()}
    spare = _spare([c.name for c in candidates if id(c) not in taken], frames)
    if spare:
        known.warnings.append(f"Not used, since there is no image for the cameras {listed(spare)}")
    return known


def _by_image(candidates: Sequence[Candidate], frames: FrameSource, where: str) -> dict[int, Candidate]:
    """The camera of each selected image that has one."""
    chosen: dict[int, Candidate] = {}
    for keys in (_file_name, _stem, _without_number):
        by_key: dict[str, list[Candidate]] = {}
        for candidate in candidates:
            by_key.setdefault(keys(candidate.name), []).append(candidate)
        taken = {id(candidate) for candidate in chosen.values()}
        for index in frames.selected:
            image = frames.names[index]
            found = [c for c in by_key.get(image if keys is _file_name else _stem(image), ()) if id(c) not in taken]
            if index in chosen or not found:
                continue
            if len(found) > 1:
                names = listed([candidate.name for candidate in found])
                raise BadInput(
                    f"The cameras {names} in {where} all want the image {image}: rename or remove all but one"
                )
            chosen[index] = found[0]
    return chosen


def _file_name(name: str) -> str:
    """COLMAP's names may have folders before them."""
    return PurePosixPath(name.replace("\\", "/")).name


def _stem(name: str) -> str:
    """Without an ending, where it is one of a file; a camera in Blender may be called "a.b" as it is."""
    file = _file_name(name)
    return PurePosixPath(file).stem if PurePosixPath(file).suffix.lower() in IMAGE_SUFFIXES else file


def _without_number(name: str) -> str:
    """Without the ".001" that Blender gives to a second one of a name."""
    stem, _, number = _stem(name).rpartition(".")
    return stem if stem and len(number) >= 3 and number.isdecimal() else _stem(name)


def _spare(names: Iterable[str], frames: FrameSource) -> list[str]:
    """Names of cameras that have no image in the whole input; an image that start, end or stride leave out is no news."""
    images = set(frames.names) | {_stem(name) for name in frames.names}
    return [n for n in names if not images & {_file_name(n), _stem(n), _without_number(n)}]

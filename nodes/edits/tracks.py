"""A run's tracks as empties, for constraints, for objects that are put on them, and to see how well the camera holds."""

from __future__ import annotations

import bpy
import numpy as np
from mathutils import Matrix

from ..point_cloud import TRACK_LENGTH
from . import look

TRACK = "da3_track"  # on an empty: the row of its track
SHARE, SMALLEST = 0.02, 1e-3  # of the cloud's extent, that an empty's axes are long; and in the scene's unit
FINEST = 30  # halvings of the cloud's extent until places count as apart


def object_of(run: bpy.types.Collection) -> bpy.types.Object | None:
    """The object that holds a run's tracks, where there is one."""
    return next(iter(look.objects_of(run, look.TRACKS)), None)


def best(tracks: bpy.types.Object, count: int) -> list[int]:
    """Rows of that many tracks that are spread over the cloud, the best of each place, best first.

    The cloud is cut into ever smaller cubes until enough of them hold a track; rows are in the order of how good they are.
    """
    places = _places(tracks)
    low, extent = places.min(axis=0), max(float(np.ptp(places, axis=0).max()), 1e-9)
    first = np.arange(min(1, len(places)))
    for halvings in range(1, FINEST):
        cells = np.floor((places - low) / extent * 2.0**halvings).astype(np.int64)
        _, first = np.unique(cells, axis=0, return_index=True)
        if len(first) >= min(count, len(places)):
            break
    return sorted(first.tolist())[:count]


def selected(tracks: bpy.types.Object) -> list[int]:
    """Rows of the tracks that were selected in Edit Mode."""
    chosen = np.empty(len(tracks.data.vertices), bool)
    tracks.data.vertices.foreach_get("select", chosen)
    return np.flatnonzero(chosen).tolist()


def as_empties(tracks: bpy.types.Object, rows: list[int]) -> list[bpy.types.Object]:
    """An empty on each of these tracks that has none yet, in the same collections; the tracks are their parent."""
    places, values = _places(tracks), {name: _values(tracks, name) for name in ("error", TRACK_LENGTH)}
    size, known = (
        max(SHARE * float(np.ptp(places, axis=0).max()), SMALLEST),
        {obj.get(TRACK) for obj in tracks.children},
    )
    made = []
    for row in rows:
        if row in known:
            continue
        empty = bpy.data.objects.new(f"{tracks.name}_{row:05d}", None)
        empty.empty_display_type, empty.empty_display_size = "PLAIN_AXES", size
        empty.parent, empty.matrix_parent_inverse = tracks, Matrix.Identity(4)
        empty.location = places[row].tolist()
        empty[TRACK] = row
        for name, all_of_them in values.items():
            empty[name] = all_of_them[row].item()
        for collection in tracks.users_collection:
            collection.objects.link(empty)
        made.append(empty)
    return made


def empties_of(run: bpy.types.Collection) -> list[bpy.types.Object]:
    """Those that were made of a run's tracks."""
    return [obj for obj in run.all_objects if obj.type == "EMPTY" and TRACK in obj]


def _places(tracks: bpy.types.Object) -> np.ndarray:
    """(T, 3) float64, in the object's own axes."""
    return _values(tracks, "position", "vector", 3).reshape(-1, 3).astype(np.float64)


def _values(tracks: bpy.types.Object, name: str, value: str = "value", width: int = 1) -> np.ndarray:
    attribute = tracks.data.attributes[name]
    flat = np.empty(width * len(attribute.data), np.int32 if attribute.data_type == "INT" else np.float32)
    attribute.data.foreach_get(value, flat)
    return flat

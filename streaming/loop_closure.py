"""Loops of a run: candidates are proposed, each is verified by a joint pass, and the graph finds the chunks' final places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.alignment import pass_alignment
from ..core.prediction.executor import Listed
from . import chunk_alignment
from .registration import frame_descriptors, loop_detection, pose_graph, sim3
from .registration.bundle_adjustment import adjust
from .run import JOINT_FRAMES, Run, joint_passes

if TYPE_CHECKING:
    from .emission import FrameRecord

FORESEEN, FEW = 5, 300  # every so many chunks one looks for loops among so many frames, for the time left


class LoopCloser:
    """Finds the places that a run's path comes back to.

    Attributes
    ----------
    tried : the candidates that were looked at; frames by their place in the path
    edges : what the joint passes that were believed say
    """

    def __init__(self, run: Run, aligner: chunk_alignment.ChunkAligner):
        self.tried: list[loop_detection.Candidate] = []
        self.edges: list[pose_graph.Edge] = []
        self._run, self._aligner = run, aligner
        self._edge_of: dict[int, int] = {}  # of a candidate, by its place in ``tried``

    def solve(self) -> pose_graph.Solution:
        """Final places of the chunks by all that is known so far."""
        if not self._aligner.path:
            return pose_graph.Solution(np.eye(4)[None], np.zeros(0))
        return pose_graph.solve(self._aligner.path, self.edges, self._run.settings.alignment_method)

    def table(self, solution: pose_graph.Solution, known: dict[int, FrameRecord]) -> list[tuple[int, int, float]]:
        """Every loop that was looked at: its two frames of the input, and the trust in it; 0 where it was refused."""
        order = sorted(known)
        edges = {number: float(solution.trust[edge]) for number, edge in self._edge_of.items()}
        return [(order[c.first], order[c.second], edges.get(n, 0.0)) for n, c in enumerate(self.tried)]

    def close(self, known: dict[int, FrameRecord]) -> None:
        """Look for loops among the ``known`` frames: by descriptors, then, with the path corrected, by nearness."""
        run, chunks = self._run, len(self._aligner.poses)
        if run.store.cameras_known or chunks < 3:
            return
        order = sorted(known)
        apart = max(2 * run.planner.batch_size, 10)
        budget = joint_passes(chunks)
        descriptors = frame_descriptors.without_common(np.stack([known[i].descriptors for i in order]))
        self._try_all(order, loop_detection.by_descriptors(descriptors, apart, budget))
        left = budget - len(self.tried)
        if left <= 0:
            return
        updates = self.solve().poses @ sim3.inverse(np.stack(self._aligner.poses))
        cameras = np.stack([chunk_alignment.moved_camera(known[i].camera, updates[known[i].chunk]) for i in order])
        scales = sim3.scale_of(updates)
        depths = np.array([known[i].depth * scales[known[i].chunk] for i in order])
        near = loop_detection.by_nearness(cameras, depths, apart, budget)
        self._try_all(order, loop_detection.suppress(near, apart // 4, left, self.tried))

    def foresee(self, known: dict[int, FrameRecord]) -> None:
        """While the path grows: how much of the joint passes that it may cost it will, for the time left."""
        chunks = len(self._aligner.poses)
        if self._run.settings.loop_closure and chunks % FORESEEN == 0:
            step = max(1, len(known) // FEW)
            descriptors = frame_descriptors.without_common(
                np.stack([known[i].descriptors for i in sorted(known)[::step]])
            )
            apart = max(2 * self._run.planner.batch_size, 10) // step + 1
            most = joint_passes(chunks)
            self._run.loops_seen = len(loop_detection.by_descriptors(descriptors, apart, most)) / most

    def _try_all(self, order: Sequence[int], candidates: Sequence[loop_detection.Candidate]) -> None:
        pairs = [[order[one.first], order[one.second]] for one in candidates]
        new = [pair for n, pair in enumerate(pairs) if self._looked_at(pair) is None and pair not in pairs[:n]]
        joint = Listed([[*a, *b] for a, b in (self._sides(*pair) for pair in new)])
        for number, (candidate, pair) in enumerate(zip(candidates, pairs, strict=True)):
            self._run.joint_left = len(candidates) - number
            self._run.report()
            self._try(candidate, pair, joint)
        self._run.joint_left = 0

    def _looked_at(self, pair: list[int]) -> dict[str, Any] | None:
        """What this run, or one that it goes on from, has found of two frames."""
        return next((one for one in self._run.store.notes["loops"] if one["frames"] == pair), None)

    def _try(self, candidate: loop_detection.Candidate, pair: list[int], joint: Listed) -> None:
        """Verify a candidate by a joint pass, unless an earlier run has."""
        run = self._run
        self.tried.append(candidate)
        found = self._looked_at(pair)
        if found is None:
            found = {"frames": pair, **self._verify(pair, joint)}
            run.store.keep(loops=[*run.store.notes["loops"], found])
            run.pace.pass_done(2 * self._side)
        if "matrix" in found:
            first, second = found["chunks"]
            self._edge_of[len(self.tried) - 1] = len(self.edges)
            matrix, information = np.array(found["matrix"]), np.array(found["information"])
            self.edges.append(pose_graph.Edge(first, second, matrix, information))

    def _sides(self, *pair: int) -> list[list[int]]:
        """The frames around each of two, in the chunk that has it nearest to its middle."""
        chunks, side = self._run.store.chunks, self._side
        return [loop_detection.window(chunks[self._chunk_around(frame)], frame, side) for frame in pair]

    def _verify(self, pair: list[int], passes: Listed) -> dict[str, Any]:
        """Both sides of a loop in one pass of the model; what it says, as plain values."""
        run, side = self._run, self._side
        a, b = (self._chunk_around(frame) for frame in pair)
        sides = self._sides(*pair)
        _, joint = run.executor.ask(passes.take(), passes)
        if joint is None or joint.extrinsics is None:
            return {}
        run.filtered(joint)
        if not loop_detection.sides_agree(pass_alignment.without_people(joint), len(sides[0])):
            return {}
        adjust(pass_alignment.without_people(joint), side).apply_to(joint)
        fits = []
        for number, frames, rows in ((a, sides[0], range(side)), (b, sides[1], range(side, 2 * side))):
            chunk = run.load(number, frames)
            if joint.depth.shape[1:] != chunk.depth.shape[1:]:
                return {}
            found = chunk_alignment.fit(chunk, range(len(frames)), joint, rows, run.settings)
            if found.residual is None or found.residual > loop_detection.POOR_SIDE:
                return {}
            fits.append(found)
        edge = loop_detection.edge(a, b, *fits)
        return {"chunks": [a, b], "matrix": edge.matrix.tolist(), "information": edge.information.tolist()}

    def _chunk_around(self, frame: int) -> int:
        """The chunk that has a frame nearest to its middle."""
        near = [n for n, chunk in enumerate(self._run.store.chunks) if frame in chunk]
        return min(near, key=lambda n: abs(self._run.store.chunks[n].index(frame) - len(self._run.store.chunks[n]) / 2))

    @property
    def _side(self) -> int:
        chunks = self._run.store.chunks
        return max(1, min(JOINT_FRAMES, self._run.planner.batch_size // 2, *(len(c) for c in chunks)))

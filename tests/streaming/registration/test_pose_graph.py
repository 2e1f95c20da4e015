"""The graph of chunks: right loops straighten the path, wrong ones do not bend it."""

import numpy as np
import pytest
from da3_blender.core.settings import AlignmentMethod
from da3_blender.streaming.registration import sim3
from da3_blender.streaming.registration.pose_graph import Edge, _Graph, chain, solve

DEVIATION = np.array([0.01, 0.01, 0.01, 0.002, 0.002, 0.002, 0.003])  # of one edge


class Laps:
    """``count`` chunks around a circle four times, measured with noise."""

    def __init__(self, count, seed=0):
        self.random = np.random.default_rng(seed)
        step = sim3.exp(np.array([[0, 0, 0, 0, 0, 8 * np.pi / count, 0]]))[0]
        step[:3, 3] = 1, 0, 0
        self.true = chain([Edge(k, k + 1, step, np.eye(7)) for k in range(count - 1)])
        self.path = [self.edge(k, k + 1) for k in range(count - 1)]
        self.count = count

    def edge(self, a, b):
        exact = sim3.inverse(self.true[a : a + 1])[0] @ self.true[b]
        noise = sim3.exp(self.random.normal(size=(1, 7)) * DEVIATION)[0]
        return Edge(int(a), int(b), exact @ noise, np.diag(1 / DEVIATION**2))

    def loops(self, count):
        lap = self.count // 4
        return [self.edge(a, a + lap) for a in self.random.integers(0, self.count - lap, count)]

    def wrong(self, count):
        made = []
        while len(made) < count:
            a, b = self.random.integers(0, self.count, 2)
            if a != b:
                anything = sim3.exp(self.random.normal(size=(1, 7)) * [20, 20, 20, 1, 1, 1, 0.3])[0]
                made.append(Edge(int(a), int(b), anything, np.diag(1 / DEVIATION**2)))
        return made

    def error(self, poses):
        a, b = poses[:, :3, 3], self.true[:, :3, 3]
        fit = sim3.fit_points(a, b, np.ones(len(a)), iterations=0).matrix
        return np.sqrt(((a @ fit[:3, :3].T + fit[:3, 3] - b) ** 2).sum(axis=1).mean())


def test_jacobians_are_those_of_the_residuals():
    laps = Laps(12)
    graph = _Graph([*laps.path, *laps.loops(3)], 12, locked_scale=False)
    poses = laps.true @ sim3.exp(np.vstack([np.zeros(7), laps.random.normal(size=(11, 7)) * 0.05]))
    weights = np.ones(graph.edges)
    _, gradient = graph._normal_equations(poses, weights)
    numeric = np.empty(77)
    for k in range(77):
        step = np.zeros(77)
        step[k] = 1e-6
        more, less = (weights @ graph.errors(graph._moved(poses, sign * step)) for sign in (1, -1))
        numeric[k] = (more - less) / 4e-6  # the gradient is half of the derivative of the squares
    np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-4 * np.abs(numeric).max())


def test_loops_straighten_the_path():
    laps = Laps(200)
    solved = solve(laps.path, laps.loops(20))
    assert solved.trust.all()
    assert laps.error(solved.poses) < 0.5 * laps.error(chain(laps.path))


@pytest.mark.parametrize("seed", range(3))
def test_three_wrong_loops_in_ten_do_not_bend_it(seed):
    laps = Laps(300, seed)
    right = laps.loops(28)
    wrong = laps.wrong(12)
    without = laps.error(solve(laps.path, right).poses)
    solved = solve(laps.path, right + wrong)
    assert laps.error(solved.poses) < 1.2 * without
    assert not solved.trust[28:].any()


def test_only_wrong_loops_leave_the_path_as_it_was():
    laps = Laps(100)
    solved = solve(laps.path, laps.wrong(10))
    assert laps.error(solved.poses) < 1.2 * laps.error(chain(laps.path))


def test_the_first_chunk_stays_where_it_is():
    laps = Laps(100)
    np.testing.assert_array_equal(solve(laps.path, laps.loops(10)).poses[0], np.eye(4))


def test_a_locked_scale_stays_locked():
    laps = Laps(60)
    fixed = [
        Edge(e.first, e.second, sim3.matrix(1, sim3.rotation_of(e.matrix), e.matrix[:3, 3]), e.information)
        for e in laps.path
    ]
    solved = solve(fixed, laps.loops(5), AlignmentMethod.SE3)
    np.testing.assert_allclose(sim3.scale_of(solved.poses), 1.0, atol=1e-9)

"""Metres from a second model: right to 1 % in both modes, sky left out, for any number of passes."""

import cv2
import numpy as np
import pytest
import truth
from da3_blender.core import pipeline
from da3_blender.core.alignment.metric_scale import metric_scale
from da3_blender.core.errors import BadInput, MissingModel
from da3_blender.core.frames.source import FrameSource
from da3_blender.core.geometry import projection
from da3_blender.core.geometry.similarity import umeyama
from da3_blender.core.prediction.prediction import Prediction
from da3_blender.core.settings import BatchMode, MetricMode, Settings
from da3_blender.core.worker import protocol
from da3_blender.core.worker.server import generate_job, loaded_model
from disturbed_predictor import DisturbedPredictor

SKY = 180.0  # what a metric model calls the sky's depth


class MetricPredictor:
    """DA3 Metric Large as it answers: depth x focal / 300 is metres, sky marked, no cameras; 3 % of smooth noise."""

    def __init__(self, known, noise=0.03, seed=0):
        self.known = known
        self.noise = noise
        self.seed = seed
        self.asked = []

    def predict(self, images, indices, settings, cameras=None):
        self.asked += list(indices)
        random = np.random.default_rng([self.seed, *indices])
        true = self.known.depth[list(indices)]
        depth = true.copy()
        for image in depth:
            smooth = cv2.GaussianBlur(random.normal(size=image.shape), (0, 0), image.shape[1] / 8)
            image *= 1 + self.noise * smooth / smooth.std()
        depth[true == 0] = SKY
        focal = self.known.intrinsics[list(indices), 0, 0][:, None, None]
        return Prediction(
            (depth * 300 / focal).astype(np.float32), np.ones(true.shape, np.float32), None, None, np.stack(list(images)),
            sky=true == 0, metric_focal=300.0,
        )  # fmt: skip


class Plain(MetricPredictor):
    """Not a metric model: its depths are in no unit."""

    def predict(self, *arguments):
        prediction = super().predict(*arguments)
        prediction.metric_focal = None
        return prediction


@pytest.fixture(scope="module")
def walk():
    return truth.load("walk")


def run(known, metric, last=18, **settings):
    settings = Settings(process_resolution=252, batch_size=10, use_metric=True, end_frame=last, **settings)
    frames = FrameSource.open(known.folder, 0, last)
    predictor = DisturbedPredictor(known, 4)
    batches = pipeline.reconstruct(
        frames, settings, predictor, metric=metric, on_progress=lambda *_: None, cancelled=lambda: False
    )
    return list(batches)


def scale_of_depths(known, batch):
    """Median of true depth / given depth over the pixels that are kept."""
    true = known.depth[batch.indices]
    kept = (batch.prediction.conf > 0) & (true > 0)
    return np.median(true[kept] / batch.prediction.depth[kept])


@pytest.mark.parametrize("metric_mode", list(MetricMode))
@pytest.mark.parametrize("batch_mode", [BatchMode.LAST_FRAME_OVERLAP, BatchMode.FIRST_LAST_OVERLAP])
@pytest.mark.parametrize("seed", range(3))
def test_the_scale_is_right_to_1_percent(walk, metric_mode, batch_mode, seed):
    batches = run(walk, MetricPredictor(walk, seed=seed), metric_mode=metric_mode, batch_mode=batch_mode)
    assert len(batches) > 1 and all(b.prediction.is_metric for b in batches)
    assert scale_of_depths(walk, batches[0]) == pytest.approx(1, abs=0.01)  # the claim
    for batch in batches[1:]:
        assert scale_of_depths(walk, batch) == pytest.approx(1, abs=0.02)  # what joining adds: 2 % of noise twice


@pytest.mark.parametrize("metric_mode", list(MetricMode))
def test_the_cameras_stand_apart_by_as_much_as_their_depths_say(walk, metric_mode):
    batches = run(walk, MetricPredictor(walk), metric_mode=metric_mode, batch_mode=BatchMode.IGNORE_BATCH_SIZE)
    [batch] = batches
    own = projection.invert_rigid(batch.prediction.extrinsics)[:, :, 3]
    found = umeyama(own, walk.camera_to_world[batch.indices][:, :3, 3])
    assert found.scale == pytest.approx(1, abs=0.015)  # 1 % of depth, and 0.1 % of the path for each of 19 cameras


def test_the_scale_comes_from_the_first_pass_alone(walk):
    metric = MetricPredictor(walk)
    run(walk, metric, batch_mode=BatchMode.LAST_FRAME_OVERLAP)
    assert sorted(metric.asked) == list(range(10))


def test_metric_depth_is_the_metric_model_s_and_the_sky_makes_no_points(walk):
    [batch] = run(
        walk, MetricPredictor(walk, noise=0.0), last=4, metric_mode=MetricMode.METRIC_DEPTH, filter_edges=False
    )
    true = walk.depth[batch.indices]
    np.testing.assert_allclose(batch.prediction.depth[true > 0], true[true > 0], rtol=1e-5)
    assert (batch.prediction.conf[true == 0] == 0).all()


def test_the_sky_has_no_say_in_the_scale():
    base = np.full((1, 20, 20), 2.0, np.float32)
    metres = np.full((1, 20, 20), 6.0, np.float32)
    sky = np.zeros(base.shape, bool)
    sky[:, :14] = True
    metres[sky] = SKY
    prediction = Prediction(
        base, np.ones_like(base), np.eye(4)[None, :3], np.eye(3)[None], np.zeros((1, 20, 20, 3), np.uint8)
    )
    assert metric_scale(prediction, metres, sky) == pytest.approx(3)
    with pytest.raises(BadInput, match="only sky"):
        metric_scale(prediction, metres, np.ones_like(sky))


def test_a_model_that_does_not_measure_is_refused(walk):
    with pytest.raises(BadInput, match="DA3 Metric Large"):
        run(walk, Plain(walk), last=3)


def test_a_missing_metric_model_is_told_before_anything_is_loaded(walk, tmp_path):
    loaded = []
    model = loaded_model.LoadedModel(lambda name, *_, **__: loaded.append(name))
    settings = {"input": str(walk.folder), "model": "da3-small", "use_metric": True}
    request = protocol.Generate(1, str(tmp_path), settings, str(tmp_path))
    with pytest.raises(MissingModel, match="DA3 Metric Large is not installed"):
        generate_job.generate(request, model, lambda _: None, lambda: False)
    assert loaded == []


def test_the_metric_model_is_opened_beside_the_base_model_and_freed_with_it(tmp_path):
    class Model:
        def __init__(self, name):
            self.name, self.monitor = name, None

        def unload(self):
            log.append(f"unload {self.name}")

    log = []

    def open_predictor(name, *_, **__):
        log.append(f"load {name}")
        return Model(name)

    model = loaded_model.LoadedModel(open_predictor)
    where = (tmp_path, None, None, False, None)
    for _ in range(2):
        assert model.get("da3-small", *where).name == "da3-small"
        assert model.get_metric(True, *where).name == "da3metric-large"
    assert log == ["load da3-small", "load da3metric-large"]
    assert model.get_metric(False, *where) is None
    model.unload()
    assert sorted(log[2:]) == ["unload da3-small", "unload da3metric-large"]

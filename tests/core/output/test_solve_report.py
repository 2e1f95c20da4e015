"""The solve report: how well a shot's cameras fit, by frame."""

from dataclasses import replace

import cv2
import numpy as np
import payloads
from da3_blender.core.output import camera_files
from da3_blender.core.output.calibration import camera_report


def records(errors):
    found = payloads.random_records(len(errors))
    return [
        replace(one, name=f"plate_{1001 + k}", reprojection_error=error)
        for k, (one, error) in enumerate(zip(found, errors, strict=True))
    ]


def test_the_report_says_median_and_the_worst_frame():
    told = camera_report(records([0.5, 0.0, 0.25, 1.5]), "shot")
    assert "of 3 frames" in told and "median 0.500" in told and "largest 1.500 (plate_1004)" in told
    assert "Reprojection" not in camera_report(records([0.0, 0.0]), "shot")


def test_the_graph_s_curve_is_where_the_errors_are():
    errors = [0.5] * 50 + [1.0] * 50
    (data,) = camera_files.error_graph(records(errors)).values()
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (camera_files.HEIGHT, camera_files.WIDTH, 3)
    rows, columns = np.nonzero((picture == camera_files.CURVE).all(axis=2))
    low, high = rows[columns < 500].mean(), rows[columns > 800].mean()
    bottom = camera_files.HEIGHT - camera_files.BOTTOM
    assert abs((bottom - high) / (bottom - low) - 2.0) < 0.02
    assert camera_files.error_graph(records([0.4, 0.0])) == {}  # one frame is no curve

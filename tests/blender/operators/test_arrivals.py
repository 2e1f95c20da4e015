"""What is held of the batches that have come."""

from da3_blender.core.worker.protocol import BatchReady
from da3_blender.operators.jobs.arrivals import Arrivals


def batch(folder, number, size):
    (folder / f"{number}.npy").write_bytes(bytes(size))
    part = {"files": {"position": f"{number}.npy"}, "image": "", "packed": False}
    return BatchReady(1, number, "walk", [part], [])


def test_of_a_long_run_only_the_newest_arrays_stay_on_disk(tmp_path):
    arrivals = Arrivals(most=250)
    for number in range(6):
        arrivals.add(batch(tmp_path, number, 100), tmp_path)
        assert (tmp_path / f"{number}.npy").exists()  # it is not built yet
    assert not arrivals.are_whole
    assert sorted(file.name for file in tmp_path.iterdir()) == ["3.npy", "4.npy", "5.npy"]


def test_a_short_run_can_be_built_again_as_often_as_wanted(tmp_path):
    arrivals = Arrivals()
    for _ in range(2):
        for number in range(3):
            arrivals.add(batch(tmp_path, number, 100), tmp_path)
        assert arrivals.are_whole and [b.batch for b in arrivals.take()] == [0, 1, 2]

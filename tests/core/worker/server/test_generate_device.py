"""What a run says of the device that computes it."""

from types import SimpleNamespace

from da3_blender.core.monitor import Monitor
from da3_blender.core.settings import Settings
from da3_blender.core.worker.server import generate_job
from da3_blender.core.worker.server.loaded_model import LoadedModel

WARNING = "GeForce GTX 970 (compute capability 5.2) cannot be used, so the processor computes"


class OnTheProcessor:
    """A model whose card failed when it was loaded."""

    device_warning = WARNING

    def __init__(self):
        self.monitor = Monitor()

    def unload(self):
        """Nothing is held."""


def test_a_card_that_failed_is_a_warning_of_every_run_also_where_the_model_was_loaded_before(tmp_path):
    opened = []
    model = LoadedModel(lambda *_, **__: opened.append(1) or OnTheProcessor())
    request = SimpleNamespace(model_folder=str(tmp_path), device=None)
    for _ in range(2):
        frames = SimpleNamespace(warnings=[])
        generate_job._loaded(request, Settings(model="da3-small"), frames, model, Monitor())
        assert frames.warnings == [WARNING]
    assert len(opened) == 1

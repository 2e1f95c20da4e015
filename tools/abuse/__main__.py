"""``make abuse``: everything that can go wrong around a run, done on purpose, seeded and counted.

    python tools/abuse                        all campaigns; a table at the end, exit code 1 if anything in it is not 0
    python tools/abuse --short                a minute of it
    python tools/abuse --only signals --seed 7 --try 12     one try again

What each campaign does says docs/testing.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import abuse_paths


def main(arguments: list[str]) -> int:
    if importlib.util.find_spec("av") is None:  # Blender's Python: the generators need what the worker has
        python = abuse_paths.paths.executable(abuse_paths.worker_environment(), "python")
        return subprocess.call([str(python), "-X", "utf8", str(Path(__file__).parent), *arguments])
    import decodes
    import inputs
    import late
    import lies
    import owners
    import signals
    import stores
    from programs import set_up
    from tally import Tally

    campaigns = [
        inputs.IMAGES, decodes.CAMPAIGN, inputs.VIDEOS, signals.CAMPAIGN, lies.CAMPAIGN, stores.CAMPAIGN, owners.CAMPAIGN,
        late.CAMPAIGN,
    ]  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=[campaign.name for campaign in campaigns])
    parser.add_argument("--try", type=int, dest="number", metavar="N", help="only that try of --only")
    parser.add_argument("--short", action="store_true")
    chosen = parser.parse_args(arguments)
    campaigns = [campaign for campaign in campaigns if not chosen.only or campaign.name in chosen.only]
    if chosen.number is not None and len(campaigns) != 1:
        parser.error("--try needs one campaign, by --only")
    with tempfile.TemporaryDirectory(prefix="da3-abuse-", ignore_cleanup_errors=True) as temporary:
        root = Path(temporary).resolve()
        set_up(root)
        tally = Tally(root, chosen.seed, chosen.short)

        def lane(waits: bool) -> None:
            for campaign in campaigns:
                if campaign.waits == waits:
                    tally.play(campaign, chosen.number)

        with ThreadPoolExecutor(1) as pool:
            beside = pool.submit(lane, True)
            lane(False)
            beside.result()
    print(tally.table(), flush=True)
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Build the site: `python -m docs.gallery [NAME ...]`."""

import sys
import time
from pathlib import Path

from docs.gallery.facts import gather
from docs.gallery.site import ROOT, build
from foveal.core.registry import list_attentions


def main(names: list[str], site: Path = ROOT / "site") -> None:
    begun = time.perf_counter()
    own = [name for name in list_attentions() if name in names or not names]
    facts = gather(own)
    build(facts, site)
    print(f"{len(facts)} mechanisms in {time.perf_counter() - begun:.0f} s: {site / 'index.html'}")


if __name__ == "__main__":
    main(sys.argv[1:])

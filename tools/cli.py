"""The command line: one verb a module, flags from frozen dataclasses."""

import importlib
import os
import sys
from collections.abc import Sequence

from ..datasets.errors import InputError

# verb -> (module, one line of help). A module offers `main(argv: list[str]) -> int`; only the verb asked for is
# imported, so that `segattr data validate` does not wait for torch.
VERBS = {
    "annotate": ("annotate", "model masks and attributes as drafts, and an editor in the browser to correct them"),
    "train": ("train", "train a semantic or an attribute model; writes a bundle"),
    "extract": ("extract", "masks, categories and attributes of every product in a folder of photos"),
    "evaluate": ("evaluate", "COCO mAP and attribute metrics of predictions against ground truth"),
    "card": ("card", "what a bundle was trained on and how, its figures, thresholds and known failures"),
    "data": ("data", "validate, stats, split, merge, convert, synth, compose, refabric: work on COCO files"),
    "bench": ("bench", "measure images per second on this machine"),
}


def usage() -> str:
    lines = ["usage: segattr VERB ... (segattr VERB --help tells its flags)", ""]
    lines += [f"  {verb:<9} {text}" for verb, (_, text) in VERBS.items()]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Returns the exit code: 0 done, 1 done with findings, 2 a mistake in what was asked, 130 stopped."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0
    if argv[0] == "--version":
        from .. import __version__

        print(f"segattr {__version__}")
        return 0
    if argv[0] not in VERBS:
        print(f"segattr: error: no verb {argv[0]!r}; expected one of {', '.join(VERBS)}.", file=sys.stderr)
        return 2
    # OpenMP reads this when torch is loaded: threads that spin while they wait take the cores that decode photos.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return importlib.import_module(f".{VERBS[argv[0]][0]}", __package__).main(argv[1:])
    except InputError as error:
        print(f"segattr: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("segattr: stopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":  # for torchrun -m segattr.tools.cli
    sys.exit(main())

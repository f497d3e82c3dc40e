"""What the scripts in Python share: the list of triples, and where things are. `cross/prefix` says the same to those in bash."""

import os
import pathlib
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGETS = tomllib.loads((ROOT / "cross/targets.toml").read_text())
# Where cargo builds; a relative one is below the top of the repository, where cross/cargo runs it.
BUILT = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
PREFIX = pathlib.Path(os.environ.get("CROSS_PREFIX") or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "brackup-cross")


def binary(triple):
    """What cross/build leaves."""
    return BUILT / triple / "release/brackup"


def emulator(triple):
    """How a program of that kind is started, on the lowest CPU that it claims to run on."""
    return emulators(triple)[0]


def emulators(triple):
    """The same on each CPU that targets.toml names."""
    target = TARGETS[triple]
    return [[target["qemu"], "-cpu", target[name]] for name in ("cpu", "also") if name in target]

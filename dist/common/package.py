"""What all packages are made from: version, date, program, manual, configuration. Nothing here knows a format.

Environment:
  BRACKUP_BINARY         this program instead of target/TRIPLE/release/brackup
  BRACKUP_ALLOW_DYNAMIC  1: also one that needs an interpreter (for tests, which have no cross tool-chain)
  BRACKUP_HOST           a brackup that runs here and prints the manual; else the program itself if it runs, else one is built
  BRACKUP_REVISION       of the package, for the same version of the program; 1
  SOURCE_DATE_EPOCH      the date of everything; that of the last commit
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import arches
import elf

TOP = Path(__file__).resolve().parents[2]
DIST = TOP / "dist"
MAINTAINER = "Brackup developers <brackup@example.org>"
# What the program can be called beside brackup, if it was built with the feature `original`.
ORIGINAL = ("brackup-mount", "brackup-restore", "brackup-target", "brackup-verify-chunks", "brackup-verify-inventory")
SUMMARY = "encrypted multi-versioned backup for small boxes"


def fail(text):
    """Ends with a message."""
    raise SystemExit(f"{Path(sys.argv[0]).name}: {text}")


def target_dir():
    """Where cargo builds."""
    return TOP / os.environ.get("CARGO_TARGET_DIR", "target")


def out_dir(arguments):
    """The folder that the command line names, or the usual one; made."""
    out = Path(arguments[0]) if arguments else target_dir() / "dist"
    out.mkdir(parents=True, exist_ok=True)
    return out


def version():
    """That of Cargo.toml, the only place where it is written."""
    package = (TOP / "Cargo.toml").read_text().split("[package]", 1)[1]
    return re.search(r'^version = "([^"]+)"$', package, re.M).group(1)


def revision():
    """Of the package."""
    given = os.environ.get("BRACKUP_REVISION", "1")
    if not re.fullmatch(r"[0-9]{1,6}", given):
        fail(f"BRACKUP_REVISION is {given!r}, expected a number")
    return given


def epoch():
    """Seconds since 1970 that all files carry, so that the same source makes the same bytes."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    told = subprocess.run(["git", "-C", TOP, "log", "-1", "--format=%ct"], capture_output=True, check=False)
    # A tarball has no commits; it keeps times.
    return int(told.stdout) if told.returncode == 0 else int((TOP / "Cargo.toml").stat().st_mtime)


def program(triple):
    """The bytes of the program for a triple; refused if it is for another CPU or not static."""
    path = Path(os.environ.get("BRACKUP_BINARY") or target_dir() / triple / "release" / "brackup")
    if not path.is_file():
        fail(f"{path} is not there: cross/build {triple} makes it")
    data = path.read_bytes()
    found = elf.header(data)
    if not found or found[:3] != arches.ELF[triple]:
        fail(f"{path} is no program for {triple}")
    if found[3] and os.environ.get("BRACKUP_ALLOW_DYNAMIC") != "1":
        fail(f"{path} is not static: boxes have other C libraries, or older ones")
    return data


def original(program_bytes):
    """The names that a program answers to: it carries the help for each, which begins with it. A link of another name would lead to a program that does not know it."""
    # With the blank: brackup-target.id is in every program.
    return [name for name in ORIGINAL if f"{name} ".encode() in program_bytes]


def manual(triple):
    """{"man": the manual page, "bash": completions, …}, printed by a brackup that runs here."""
    kinds = {"man": ["man"]} | {shell: ["completions", shell] for shell in ("bash", "zsh", "fish")}
    return {name: run(host(triple), arguments) for name, arguments in kinds.items()}


def host(triple):
    """A brackup that runs on this machine and has the feature `manual`."""
    if os.environ.get("BRACKUP_HOST"):
        return os.environ["BRACKUP_HOST"]
    own = os.environ.get("BRACKUP_BINARY") or target_dir() / triple / "release" / "brackup"
    try:
        if subprocess.run([own, "man"], capture_output=True, check=False).returncode == 0:
            return own
    except OSError:
        pass  # for another CPU
    print("building a brackup for this machine, which prints the manual", file=sys.stderr)
    subprocess.run(["cargo", "build", "--locked", "--quiet", "--bin", "brackup"], cwd=TOP, check=True)
    return target_dir() / "debug" / "brackup"


def run(command, arguments):
    """What it prints."""
    done = subprocess.run([command, *arguments], stdout=subprocess.PIPE, check=False)
    if done.returncode != 0 or not done.stdout:
        fail(f"{command} {' '.join(arguments)}: exit code {done.returncode}, {len(done.stdout)} bytes")
    return done.stdout


def configuration(key_dir, state_dir):
    """The configuration to begin with. Without `state_dir` the owner has to choose."""
    state = f"state_dir = {state_dir}" if state_dir else "#state_dir = /mnt/disk/brackup-state"
    return filled(DIST / "common" / "brackup.conf", KEY_DIR=key_dir, STATE_DIR=state)


def filled(path, **values):
    """A file with each @NAME@ replaced; one that is left over is a mistake of this folder."""
    text = path.read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    left = re.search(r"@[A-Z_]+@", text)
    if left:
        fail(f"{path}: {left.group()} has no value")
    return text.encode()

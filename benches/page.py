#!/usr/bin/env python3
"""benches/page.py --brackup PATH [--mib 2048] [--runs 3] [--idle 60]: what the page of `brackup serve` costs, and how quick it is.

Idle: memory and processor time of the service over a minute in which nobody looks, and over one in which a browser watches. Latency: a page every 20 ms on
one connection, while a backup goes on at full speed, and while nothing does. Throughput: the same first backup with eight who watch by server-sent events
and without any, one after the other, in each run.

All is below a temporary folder, which goes. Needs Linux, Python 3.11, a program built with `--features web`, and three times --mib of disk. What is printed is
one line a number.
"""

import argparse
import http.client
import os
import pathlib
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True

import measure

WATCHERS = 8  # as many as the door lets watch
BETWEEN_S = 0.02
FILE_BYTES = 4 << 20


def processor(pid):
    """Seconds of user and system time."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Box:
    """A service with one job, that is due as it begins."""

    def __init__(self, program, folder, tree):
        self.program, self.folder, self.tree = program, folder, tree
        self.env = {"HOME": str(folder), "PATH": os.environ["PATH"], "TZ": "UTC0"}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.config = folder / "brackup.conf"
        made = subprocess.run([program, "keygen", "--out", folder / "secret.key"], env=self.env, check=True, capture_output=True, text=True)
        recipient = re.search(r"\bbrackup1[a-z0-9]+", made.stdout + made.stderr)[0]
        self.config.write_text(
            f"[BOX]\nstate_dir = {folder}/state\nkey_dir = {folder}/keys\n[SERVE]\nlisten = 127.0.0.1:{self.port}\ntls = no\n"
            f"[SOURCE:tree]\npath = {tree}\nrecipient = {recipient}\n[TARGET:disk]\ntype = Filesystem\npath = {folder}/target\n"
            "[JOB:nightly]\nfrom = tree\nto = disk\nat = 02:30\nnice = 0\n"
        )

    def start(self):
        """Until the door is open."""
        self.process = subprocess.Popen([self.program, "--config", self.config, "serve"], env=self.env, stderr=subprocess.PIPE, text=True)
        while True:
            try:
                self.connect().close()
                return
            except OSError:
                time.sleep(0.005)

    def until(self, word):
        for line in self.process.stderr:
            if word in line:
                return time.monotonic()
        sys.exit("page: the service has ended")

    def connect(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def watch(self, heard):
        """One who watches, until the service ends; each event is counted."""
        def listen():
            connection = self.connect()
            try:
                connection.request("GET", "/api/events", headers={"Accept": "text/event-stream"})
                answer = connection.getresponse()
                if answer.status != 200:
                    sys.exit(f"page: {answer.status} for one who watches")
                while line := answer.readline():
                    heard[0] += line.startswith(b"event:")
            except (OSError, http.client.HTTPException):
                pass
        threading.Thread(target=listen, daemon=True).start()

    def latencies(self, ends):
        """Seconds of each page, until the event is set."""
        connection, took = self.connect(), []
        while not ends.is_set():
            begun = time.monotonic()
            connection.request("GET", "/", headers={"Accept": "text/html"})
            answer = connection.getresponse()
            body = answer.read()
            took.append(time.monotonic() - begun)
            if answer.status != 200 or b"<main" not in body:
                sys.exit(f"page: {answer.status}")
            time.sleep(BETWEEN_S)
        return took

    def stop(self):
        self.process.terminate()
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        if self.process.wait(20) != 0:
            sys.exit(f"page: the service ended with {self.process.returncode}")


def make(folder, mib):
    folder.mkdir()
    noise = random.Random("brackup page").randbytes(64 << 20)
    for number in range(max(1, (mib << 20) // FILE_BYTES)):
        at = number * 7919 % (len(noise) - FILE_BYTES)
        (folder / f"file {number:04}").write_bytes(number.to_bytes(8, "big") + noise[at:at + FILE_BYTES - 8])


def idle(program, folder, tree, seconds):
    box = Box(program, folder, tree)
    box.start()
    box.until("waiting: next")
    threading.Thread(target=box.process.stderr.read, daemon=True).start()
    pid = box.process.pid
    for who in ["nobody looks", "one watches"]:
        if who == "one watches":
            box.watch([0])
        time.sleep(2)
        begun = processor(pid)
        time.sleep(seconds)
        rss, peak, spent = measure.memory(pid, "VmRSS"), measure.memory(pid, "VmHWM"), processor(pid) - begun
        print(f"idle, {who}: {rss / 1024:.1f} MiB resident, {spent:.2f} s of processor in {seconds} s; {peak / 1024:.1f} MiB at the peak of its first backup")
    box.stop()


def backup(program, folder, tree, watchers, with_pages):
    """Seconds from begin to end of a first backup; seconds of each page; events that were heard."""
    folder.mkdir()
    os.sync()
    box = Box(program, folder, tree)
    box.start()
    heard, ends, took = [0], threading.Event(), []
    for _ in range(watchers):
        box.watch(heard)
    looker = threading.Thread(target=lambda: took.extend(box.latencies(ends)))
    begun = box.until("begins")
    if with_pages:
        looker.start()
    ended = box.until("done:")
    ends.set()
    if with_pages:
        looker.join()
    still = []
    if with_pages:
        ends.clear()
        threading.Timer(5, ends.set).start()
        still = box.latencies(ends)
    peak = measure.memory(box.process.pid, "VmHWM")
    box.stop()
    shutil.rmtree(folder)
    return ended - begun, took, still, heard[0], peak


def told(what, took):
    took.sort()
    at = lambda share: took[min(len(took) - 1, int(len(took) * share))] * 1000
    print(f"{what}: {len(took)} pages, median {at(0.5):.1f} ms, p99 {at(0.99):.1f} ms, longest {took[-1] * 1000:.1f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brackup", required=True, type=pathlib.Path)
    parser.add_argument("--mib", type=int, default=2048, help="of the source (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--idle", type=int, default=60, help="seconds (default: %(default)s)")
    options = parser.parse_args()
    program = options.brackup.resolve()
    with tempfile.TemporaryDirectory(prefix="brackup-bench-page-", dir=os.environ.get("TMPDIR") or "/var/tmp") as place:
        place = pathlib.Path(place)
        make(place / "one", 1)
        make(place / "tree", options.mib)
        (place / "idle").mkdir()
        idle(program, place / "idle", place / "one", options.idle)
        under, still, seconds = [], [], {0: [], WATCHERS: []}
        for run in range(options.runs):
            took, slow, quick, _, peak = backup(program, place / "box", place / "tree", 0, True)
            under, still = under + slow, still + quick
            print(f"run {run + 1}: with pages asked for {took:.2f} s, {peak / 1024:.1f} MiB at the peak")
            for watchers in [0, WATCHERS]:
                took, _, _, heard, peak = backup(program, place / "box", place / "tree", watchers, False)
                seconds[watchers].append(took)
                print(f"run {run + 1}: {watchers} watch: {took:.2f} s, {options.mib / took:.0f} MiB/s, {heard} events heard, {peak / 1024:.1f} MiB at the peak")
        told("during a backup at full speed", under)
        told("while nothing goes on", still)
        none, ten = (statistics.median(seconds[watchers]) for watchers in (0, WATCHERS))
        print(f"a backup with {WATCHERS} who watch takes {ten / none:.2f} times as long as without any")


if __name__ == "__main__":
    main()

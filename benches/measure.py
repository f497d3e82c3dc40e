"""Runs one command and measures it and everything that it starts.

The command is started by a shell that ends at once, and this process adopts what it leaves (a child subreaper). That
is why wait4() tells the truth: ru_maxrss of a direct child of Python begins at Python's own 10 MB, more than Brackup
needs, because the kernel keeps the maximum across exec; and a server that the command leaves behind is reaped and
counted here too.
"""

import contextlib
import ctypes
import dataclasses
import os
import select
import signal
import subprocess
import time

PR_SET_CHILD_SUBREAPER = 36
POLL_FIRST_MS = 5
POLL_LAST_MS = 50  # 20 looks a second at a few files of /proc cost well under 1 % of a core
GRACE_S = 10

# The shell's child waits for a line, until the shell is gone and the clock runs, and then becomes the command. The pipe
# is moved to 3 first, as a shell gives its background jobs /dev/null for 0.
LAUNCH = 'log=$1; shift; exec 3<&0 </dev/null; { read -r go <&3 && exec "$@" 3<&-; } >>"$log" 2>&1 & echo $!'


@dataclasses.dataclass
class Result:
    status: int = 0  # exit code, or minus the signal
    wall_s: float = 0.0
    user_s: float = 0.0
    sys_s: float = 0.0
    rss_kib: int = 0  # the largest process
    rss_sum_kib: int = 0  # the largest sum of the peaks of the processes that lived at one time
    processes: int = 1  # most at one time
    timed_out: bool = False
    left_behind: bool = False  # processes that had to be killed after the command had ended

    @property
    def ok(self):
        return self.status == 0 and not self.timed_out

    @property
    def cpu_s(self):
        return self.user_s + self.sys_s

    def why(self):
        if self.timed_out:
            return f"stopped after {self.wall_s:.0f} s"
        if self.status < 0:
            return f"killed by {signal.Signals(-self.status).name}"
        return f"exit status {self.status}"


def adopt_orphans():
    """Once, before the first run()."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def run(command, env, cwd, log, timeout_s, procs=""):
    """Runs a command with its output appended to `log`, in the cgroup whose cgroup.procs is `procs`."""
    result = Result()
    try:
        pid, release = launch(command, env, cwd, log)
        if procs:
            with open(procs, "w") as file:
                file.write(str(pid))
        begun = time.monotonic()
        release()
        if not watch(pid, begun + timeout_s, result):
            result.timed_out = True
            stop_all()
        result.wall_s = time.monotonic() - begun
        reap(pid, result)
    except BaseException:
        stop_all()
        reap(None, result)
        raise
    return result


def launch(command, env, cwd, log):
    """The process that will be the command, and what lets it begin."""
    waits, go = os.pipe()
    try:
        # A session of its own, so that Ctrl-C reaches the bench alone, which then stops the command.
        started = subprocess.run(["/bin/sh", "-c", LAUNCH, "sh", log, *command], env=env, cwd=cwd, stdin=waits,
                                 stdout=subprocess.PIPE, start_new_session=True)
    finally:
        os.close(waits)

    def release():
        with contextlib.suppress(BrokenPipeError):  # killed for memory already: its status will say so
            os.write(go, b"\n")
        os.close(go)
    return int(started.stdout), release


def watch(pid, deadline, result):
    """Waits for the end of the process, false when the time is up first."""
    handle = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        pause = POLL_FIRST_MS
        while not poll.poll(pause):
            sample(pid, result)
            if time.monotonic() > deadline:
                return False
            pause = min(POLL_LAST_MS, pause + POLL_FIRST_MS)
        return True
    finally:
        os.close(handle)


def sample(pid, result):
    peaks = [peak for peak in map(peak_kib, [pid, *descendants(pid)]) if peak]
    result.rss_kib = max([result.rss_kib, *peaks])
    result.rss_sum_kib = max(result.rss_sum_kib, sum(peaks))
    result.processes = max(result.processes, len(peaks))


def reap(pid, result):
    """Takes the command and what it left behind, which gets a moment to end by itself."""
    deadline = time.monotonic() + GRACE_S
    while children():
        child, status, usage = os.wait4(-1, os.WNOHANG)
        if not child:
            if time.monotonic() > deadline:
                result.left_behind = True
                kill(descendants(os.getpid()), signal.SIGKILL)
            time.sleep(0.01)
            continue
        result.user_s += usage.ru_utime
        result.sys_s += usage.ru_stime
        result.rss_kib = max(result.rss_kib, usage.ru_maxrss)
        if child == pid:
            result.status = os.waitstatus_to_exitcode(status)
    result.rss_sum_kib = max(result.rss_sum_kib, result.rss_kib)


def stop_all():
    """Ends every process that a command started; leaves the command itself to be reaped if there is time."""
    kill(descendants(os.getpid()), signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while any(map(alive, descendants(os.getpid()))):
        if time.monotonic() > deadline:
            kill(descendants(os.getpid()), signal.SIGKILL)
        time.sleep(0.02)


def kill(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


# --- /proc

def children(pid=None):
    """The children of all threads of a process."""
    tasks = f"/proc/{pid or os.getpid()}/task"
    found = []
    try:
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/children") as file:
                found += map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        pass  # it ended just now
    return found


def descendants(pid):
    found = children(pid)
    for child in found:  # grows under way
        found += children(child)
    return found


def peak_kib(pid):
    return memory(pid, "VmHWM")


def memory(pid, key):
    """KiB of a line of /proc/PID/status; 0 if it has ended."""
    return int(status_field(pid, f"{key}:") or 0)


def alive(pid):
    return status_field(pid, "State:") not in (None, "Z", "X")


def status_field(pid, name):
    try:
        with open(f"/proc/{pid}/status") as file:
            for row in file:
                if row.startswith(name):
                    return row.split()[1]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return None

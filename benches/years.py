"""What is done with backups once there are many: `restore` of the newest, `find`, `mount`, `fsck`, `copy`, `prune`, `gc`.

Two boxes. One backed up a tree for many nights, a little changed each time, with Brackup, restic and borg: every action there is done with
each of them, A B C, then A B C again. The other is made up (made_up.py): so many backups and chunks that making them for real would take days; it is
Brackup's alone.
"""

import filecmp
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import made_up
import measure
import report
import tools
import trash
import trees
import upkeep

NIGHTS = 100
BACKUPS, CHUNKS = 200, 1_000_000
# On the real box; what only reads comes first, and is repeated on the same repository.
READING = ["restore", "find", "mount", "fsck", "copy"]
REMOVING = ["prune", "gc"]
ACTIONS = [*READING, *REMOVING]
RSS_MIB_MAX = 8  # of Brackup, but for mount
RULES = ["--keep-daily=14", "--keep-weekly=8", "--keep-monthly=24"]


class Years:
    def __init__(self, options, say):
        self.options = options
        self.say = say
        self.records = []
        self.exes = {}
        self.place = tempfile.mkdtemp(prefix="brackup-bench-years-", dir=options.work or os.environ.get("TMPDIR") or "/var/tmp")
        for name in ("trees", "tools", "logs"):
            os.mkdir(self.within(name))
        self.trash = trash.Trash(self.within("trash"))

    def within(self, *names):
        return os.path.join(self.place, *names)

    def run(self):
        measure.adopt_orphans()
        code = 0
        try:
            self.print_head()
            if self.options.nights:
                self.nights()
            if round(self.options.chunks * self.options.scale):
                self.made_up()
        except KeyboardInterrupt:
            self.say("stopped, cleaning up")
            code = 130
        finally:
            measure.stop_all()
            unmount(self.within("mount"))
            self.write_json()
            if self.options.keep:
                self.say(f"logs are kept in {self.within('logs')}")
                for name in ("trees", "tools", "trash"):
                    shutil.rmtree(self.within(name), ignore_errors=True)
            else:
                shutil.rmtree(self.place, ignore_errors=True)
        return code or int(any(record["problem"] not in ("", *report.SKIPPED) for record in self.records))

    def print_head(self):
        names = [name for name in upkeep.KINDS if name in self.options.tools]
        self.exes = {name: tools.find(upkeep.KINDS[name].program, self.options.brackup) for name in names}
        print(f"## Years: `benches/run {' '.join(sys.argv[1:])}`\n\n{report.machine(self.place)}\n")
        for name, exe in self.exes.items():
            print(f"- {name}: {tools.describe(exe, upkeep.KINDS[name].version) if exe else '**missing**'}")
        print(flush=True)

    # --- the real box

    def nights(self):
        tree = trees.Nightly(self.within("trees"), self.options.scale)
        tree.make()
        cells = [upkeep.KINDS[name](exe, self.within("tools", name)) for name, exe in self.exes.items()]
        self.back_up(tree, cells)
        for run in range(1, self.options.runs + 1):
            for action in self.chosen(READING):
                for tool in cells:
                    self.act(tool, action, run, tree)
        removing = self.chosen(REMOVING)
        for tool in cells if removing else []:
            self.keep_aside(tool)
        for run in range(1, self.options.runs + 1) if removing else []:
            for tool in cells:
                self.bring_back(tool)
            for action in REMOVING:
                for tool in cells:
                    self.act(tool, action, run, tree)
        for tool in cells:
            self.trash.throw(tool.home)
            self.trash.throw(tool.home + ".aside")
        files, size = tree.usage()
        print(f"### {self.options.nights} nights of {files:,} files, {size:,} bytes\n")
        self.print_table("nights", ["a night", *ACTIONS])

    def chosen(self, actions):
        return [action for action in actions if action in self.options.actions]

    def back_up(self, tree, cells):
        for tool in cells:
            tool.problem = "" if tool.exe else "missing"
            self.try_to(tool, lambda tool=tool: self.prepare(tool, tree.path))
        for night in range(1, self.options.nights + 1):
            tree.night(night)
            tree.settle()
            for tool in cells:
                record = self.record("nights", "a night", tool, night)
                self.do(tool, record, lambda tool=tool: tool.backup(tree.path, str(night)))
                tool.problem = record["problem"]

    def prepare(self, tool, path):
        tool.log = self.within("logs", f"prepare-{tool.name}.log")
        os.mkdir(tool.home)
        tool.start()
        tool.prepare(lambda command: self.call(tool, command), path)

    def try_to(self, tool, what):
        try:
            if not tool.problem:
                what()
        except (OSError, tools.NoKey, Failed) as problem:
            tool.problem = str(problem)

    def act(self, tool, action, run, tree):
        record = self.record("nights", action, tool, run)
        path = tree.unchanging()
        kept = max(1, self.options.nights // 2)
        second = tool.within(f"second-{run}")  # a box remembers targets: one that is not there any more is an error
        os.makedirs(tool.into, exist_ok=True)
        commands = {"restore": lambda: tool.restore(tree.path, str(self.options.nights)), "find": lambda: tool.find(os.path.basename(path)), "mount": lambda: self.mounted(tool, tree, path),
                    "fsck": tool.fsck, "copy": lambda: self.copied(tool, second), "prune": lambda: tool.prune(kept), "gc": tool.gc}
        self.do(tool, record, commands[action], cwd=tool.into if action == "restore" else None)
        if not record["problem"]:
            record["problem"] = self.check(tool, action, tree, path, second)
        if action in REMOVING and record["problem"] not in ("", *report.SKIPPED):
            tool.problem = "not run, as the step before failed"
        self.trash.throw(second)
        self.trash.throw(tool.into)
        if action == "mount":
            unmount(self.within("mount"))

    def mounted(self, tool, tree, path):
        at = self.within("mount")
        os.makedirs(at, exist_ok=True)
        command = tool.mount(at)
        places = ":".join(tool.places(tree.path, path))
        return ["/bin/sh", upkeep.MOUNT_ONE, at, tool.within("read"), places, *command]

    def copied(self, tool, second):
        command = tool.copy(second)
        if make := tool.make(second):
            self.call(tool, make)
        return command

    def check(self, tool, action, tree, path, second):
        """Whether the action did what it is there for; what it did not."""
        if action == "find":
            with open(tool.log, errors="replace") as log:
                found = sum(os.path.basename(path) in row for row in log if not row.startswith("$ "))
            return "" if found >= self.options.nights else f"found in {found} of {self.options.nights} backups"
        if action == "restore" and trees.manifest(tool.restored(tree.path)) != trees.manifest(tree.path):
            return "what was restored is not what was backed up"
        if action == "mount" and not filecmp.cmp(tool.within("read"), os.path.join(tree.path, path), shallow=False):
            return "what was read is not what was backed up"
        if action == "copy" and not tools.stored(second):
            return "nothing was copied"
        return ""

    def keep_aside(self, tool):
        if not tool.problem:
            os.rename(tool.home, tool.home + ".aside")

    def bring_back(self, tool):
        """At the old place, as configurations and caches name it."""
        if os.path.exists(tool.home + ".aside"):
            tool.problem = ""
            self.trash.throw(tool.home)
            shutil.copytree(tool.home + ".aside", tool.home, symlinks=True)

    # --- the made-up box

    def made_up(self):
        exe = self.exes.get("brackup")
        if not exe:
            return
        folder = pathlib.Path(self.within("trees", "one-file"))
        folder.mkdir()
        (folder / "file").write_text("a file")
        tool = upkeep.Brackup(exe, self.within("tools", "made-up"))
        tool.problem = ""
        self.prepare(tool, str(folder))
        self.call(tool, tool.backup(str(folder), ""))
        chunks = max(self.options.backups, round(self.options.chunks * self.options.scale))
        box = made_up.Box(pathlib.Path(tool.within("state")), pathlib.Path(tool.repo), self.options.backups, chunks)
        box.make()
        self.say(f"made up {self.options.backups} backups and {chunks} chunks")
        box.keep_aside(pathlib.Path(tool.within("aside")))
        actions = [
            ("gc -n, all needed", lambda: tool.command("gc", "bench", "-n"), False),
            ("prune -n", lambda: tool.command("prune", "bench", "-n", *RULES), False),
            ("fsck", tool.fsck, False),
            ("gc, half of the backups gone", lambda: tool.command("gc", "bench"), True),
            ("gc, grace not ended", lambda: tool.command("gc", "bench"), False),
            ("gc --grace 0s", lambda: tool.command("gc", "bench", "--grace=0s"), False),
            ("gc again", lambda: tool.command("gc", "bench"), False),
        ]
        for run in range(1, self.options.runs + 1):
            for action, command, is_half_gone in actions:
                if is_half_gone:
                    box.forget_half()
                record = self.record("made up", action, tool, run)
                # Metafiles without contents are a problem to fsck, and it is to tell that.
                self.do(tool, record, command, {0, 3} if action == "fsck" else {0})
            if run < self.options.runs:
                box.bring_back(pathlib.Path(tool.within("aside")))
        print(f"### Made up: {self.options.backups} backups, {chunks:,} chunks\n")
        self.print_table("made up", [action for action, *_ in actions])

    # --- one command

    def record(self, box, action, tool, run):
        word = "".join(letter if letter.isalnum() else "-" for letter in action)
        tool.log = self.within("logs", f"{box}-{word}-{tool.name}-{run}.log".replace(" ", "-"))
        return {"box": box, "action": action, "tool": tool.name, "run": run, "problem": "", "tail": [], "log": tool.log}

    def do(self, tool, record, command, good=frozenset({0}), cwd=None):
        try:
            if tool.problem:
                raise Failed(tool.problem)
            words = command()
            before = tools.stored(tool.repo)
            os.sync()
            record["load"] = os.getloadavg()[0]
            result = self.call(tool, words, good, cwd)
            after = tools.stored(tool.repo)
            record |= {name: getattr(result, name) for name in ("wall_s", "cpu_s", "user_s", "sys_s", "rss_kib", "rss_sum_kib", "processes", "left_behind")}
            record |= {"added_bytes": sum(after.values()) - sum(before.values()), "added_objects": len(after) - len(before)}
        except (Failed, upkeep.Absent) as problem:
            record |= {"problem": str(problem), "tail": getattr(problem, "tail", [])}
        self.records.append(record)
        told = record["problem"] or f"{record['wall_s']:.2f} s, {record['cpu_s']:.2f} s CPU, {record['rss_kib'] / 1024:.1f} MiB"
        self.say(f"{record['box']}: {record['action']} {record['run']} {tool.name}: {told}")

    def call(self, tool, command, good=frozenset({0}), cwd=None):
        with open(tool.log, "a") as log:
            log.write(f"$ {' '.join(command)}\n")
        result = measure.run(command, tool.env(), cwd or tool.home, tool.log, self.options.timeout)
        if result.timed_out or result.status not in good:
            with open(tool.log, errors="replace") as log:
                raise Failed(result.why(), [row.rstrip()[:200] for row in log.readlines()[-5:]])
        return result

    # --- the end

    def print_table(self, box, actions):
        mine = [record for record in self.records if record["box"] == box]
        rows, told, large = [], [], []
        for action in actions:
            groups = report.group([record for record in mine if record["action"] == action])
            base = groups.get(tools.BASE, [])
            for name, runs in groups.items():
                rows.append([action, name, report.ran(runs), *(report.cell(value, runs, base) for _, value in COLUMNS)])
                problems = [f"{action}:", "", *report.problems(runs)] if report.problems(runs) else []
                told += problems
                peak = report.median(report.good(runs), "rss_kib") / 1024 if report.good(runs) else 0
                if name == tools.BASE and action != "mount" and peak > RSS_MIB_MAX:
                    large.append(f"{action} {peak:.1f}")
        if large:
            told += [f"More than the {RSS_MIB_MAX} MiB that are promised of a static build: {', '.join(large)}.", ""]
        columns = ["", "tool", "runs", *(title for title, _ in COLUMNS)]
        print("\n".join([*report.markdown(columns, rows), "", *told]), flush=True)

    def write_json(self):
        if self.options.json:
            with open(self.options.json, "w") as file:
                json.dump({"arguments": sys.argv[1:], "records": self.records}, file, indent=1)


COLUMNS = [
    ("wall s", report.seconds("wall_s")),
    ("min–max", report.spread),
    ("CPU s", report.seconds("cpu_s")),
    ("peak RSS MiB", report.mib("rss_kib")),
    ("bytes added", report.whole("added_bytes")),
    ("objects added", report.whole("added_objects")),
    (f"wall / {tools.BASE}", report.ratio("wall_s")),
    (f"CPU / {tools.BASE}", report.ratio("cpu_s")),
    (f"RSS / {tools.BASE}", report.ratio("rss_kib")),
]


class Failed(Exception):
    def __init__(self, why, tail=()):
        super().__init__(why)
        self.tail = list(tail)


def unmount(at):
    if os.path.ismount(at):
        subprocess.run(["umount", "-l", at])

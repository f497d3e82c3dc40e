"""Records of single runs in, Markdown tables out."""

import datetime
import os
import platform
import statistics

import tools

MIB_IN_KIB = 1024
# Problems that say nothing against anybody.
SKIPPED = ("missing", "not in this build", "no such command")


# --- the head: where and how

def head(options, where, found):
    rows = [
        f"Measured {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC: {where}.",
        how(options),
        "",
        *(f"- {name}: {what}" for name, what in found.items()),
        "",
    ]
    return "\n".join(rows)


def how(options):
    if options.mode == "memory":
        return f"Scale {options.scale:g}; one run at each limit; source not in the page cache."
    return (f"Scale {options.scale:g}; medians of {options.runs} interleaved runs; source in the page cache, "
            "`sync` before each run.")


def machine(home):
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    return (f"{cpu_model()}, {os.cpu_count()} cores, {memory:.0f} GiB RAM, Linux {platform.release()}, "
            f"{filesystem(home)}, load {load:.1f} before the start")


def cpu_model():
    with open("/proc/cpuinfo") as file:
        for row in file:
            if row.startswith(("model name", "Model")):
                return row.split(":", 1)[1].strip()
    return platform.machine()


def filesystem(path):
    """Kind of the file system that holds path: of the longest mount point above it."""
    path = os.path.realpath(path)
    with open("/proc/mounts") as file:
        mounts = [row.split()[1:3] for row in file]
    above = [(folder, kind) for folder, kind in mounts if os.path.commonpath([folder, path]) == folder]
    return max(above, key=lambda mount: len(mount[0]))[1]


# --- backup and restore tables

def tables(records, trees):
    """One table a tree, and one for its restores if there were any."""
    parts = []
    for tree in trees:
        mine = [record for record in records if record["tree"] == tree]
        for action in ("backup", "restore"):
            chosen = [record for record in mine if record["action"] == action]
            if chosen:
                parts.append(table(tree, action, chosen))
    return "\n".join(parts)


def table(tree, action, records):
    first = records[0]
    title = tree if action == "backup" else f"{tree}, restore"
    columns = COLUMNS[action] + (PER_BYTE if tree in ("big", "huge") else [])
    groups = group(records)
    base = groups.get(tools.BASE, [])
    rows = [[name, ran(runs), *(cell(value, runs, base) for _, value in columns)] for name, runs in groups.items()]
    lines = [f"### {title}", "", f"{first['files']:,} files, {first['bytes']:,} bytes.", "",
             *markdown(["tool", "runs", *(title for title, _ in columns)], rows), "", *problems(records)]
    return "\n".join(lines)


def group(records):
    groups = {}
    for record in records:
        groups.setdefault(record["tool"], []).append(record)
    return groups


def ran(runs):
    if runs[0]["problem"] in SKIPPED:
        return runs[0]["problem"]
    return f"{len(good(runs))}/{len(runs)}"


def good(runs):
    return [run for run in runs if not run["problem"]]


def cell(value, runs, base):
    """One column's text; a dash where nothing was measured."""
    if not good(runs):
        return "–"
    return value(good(runs), good(base))


def median(runs, name):
    return statistics.median(run[name] for run in runs)


def seconds(name):
    return lambda runs, base: f"{median(runs, name):.2f}"


def whole(name):
    return lambda runs, base: f"{median(runs, name):,.0f}"


def mib(name):
    return lambda runs, base: f"{median(runs, name) / MIB_IN_KIB:.1f}"


def spread(runs, base):
    walls = [run["wall_s"] for run in runs]
    return f"{min(walls):.2f}–{max(walls):.2f}"


def sum_of_processes(runs, base):
    if max(run["processes"] for run in runs) == 1:
        return "one process"
    return mib("rss_sum_kib")(runs, base)


def ratio(name):
    def text(runs, base):
        below = median(base, name) if base else 0
        return f"{median(runs, name) / below:.2f}" if below else "–"
    return text


def per_byte(runs, base):
    return f"{statistics.median(1e9 * run['cpu_s'] / run['bytes'] for run in runs):.2f}"


COLUMNS = {
    "backup": [
        ("wall s", seconds("wall_s")),
        ("min–max", spread),
        ("CPU s", seconds("cpu_s")),
        ("peak RSS MiB", mib("rss_kib")),
        ("all processes MiB", sum_of_processes),
        ("bytes added", whole("added_bytes")),
        ("objects added", whole("added_objects")),
        ("sync after s", seconds("sync_s")),
        (f"wall / {tools.BASE}", ratio("wall_s")),
        (f"CPU / {tools.BASE}", ratio("cpu_s")),
    ],
    "restore": [
        ("wall s", seconds("wall_s")),
        ("min–max", spread),
        ("CPU s", seconds("cpu_s")),
        ("peak RSS MiB", mib("rss_kib")),
        ("all processes MiB", sum_of_processes),
        ("sync after s", seconds("sync_s")),
        (f"wall / {tools.BASE}", ratio("wall_s")),
        (f"CPU / {tools.BASE}", ratio("cpu_s")),
        ("same as the tree", lambda runs, base: "yes"),  # a difference is a problem, and those rows are out
    ],
}
PER_BYTE = [("CPU ns/byte", per_byte)]


# --- memory limits

def memory_table(tree, records):
    rows = [memory_row(name, runs) for name, runs in group(records).items()]
    columns = ["tool", "smallest limit MiB", "wall s", "CPU s", "wall s without", "peak RSS MiB without", "below that"]
    first = records[0]
    lines = [f"### {tree}, under a memory limit", "",
             f"{first['files']:,} files, {first['bytes']:,} bytes. The limit counts the page cache and the kernel's "
             f"memory for the processes (cgroup v{first['cgroup']}).", "", *markdown(columns, rows), "",
             *problems(records)]
    return "\n".join(lines)


def memory_row(name, runs):
    """The first of the runs was without a limit."""
    free, tried = runs[0], runs[1:]
    if free["problem"]:
        return [name, "missing" if free["problem"] == "missing" else "fails without one", *["–"] * 5]
    done = good(tried)[:1]
    smallest = str(done[0]["limit_mib"]) if done else "none of those tried" if tried else "stopped before"
    below = "; ".join(f"{run['limit_mib']}: {run['problem']}" for run in tried if run["problem"]) or "–"
    return [name, smallest, *(seconds(key)(done, []) if done else "–" for key in ("wall_s", "cpu_s")),
            seconds("wall_s")([free], []), mib("rss_kib")([free], []), below]


# --- text

def markdown(columns, rows):
    widths = [max(len(row[at]) for row in [columns, *rows]) for at in range(len(columns))]

    def line(cells):
        name, *numbers = (text.rjust(width) for text, width in zip(cells, widths))
        return "| " + " | ".join([name.lstrip().ljust(widths[0]), *numbers]) + " |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [line(columns), line(rule), *map(line, rows)]


def problems(records):
    """What went wrong, each with the last lines that the tool printed."""
    lines = []
    for record in records:
        if record["problem"] not in ("", *SKIPPED) and not record.get("limit_mib"):
            lines.append(f"- {record['tool']}, run {record['run']}: {record['problem']}")
            lines += [f"      {row}" for row in record["tail"]]
        if record.get("left_behind"):
            lines.append(f"- {record['tool']}, run {record['run']}: left processes behind, which were ended")
    return [*lines, ""] if lines else []

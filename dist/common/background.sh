# shellcheck shell=sh
# Runs the service where there is neither systemd nor procd, and keeps it running. The script that reads this sets PROG, CONF, PIDFILE
# and ERRFILE, and says what a message is: `say TEXT`. It may have other words for `launch`, `ARGS` and the seconds, if they come later.
#
# Behind the program a shell waits (`keep`), which starts it again when it ends with a failure. The pid file names the program, and is
# the word of both: once it names anything else, that shell starts nothing more. So nobody has to find it, and it has nothing to hand on.

# shellcheck disable=SC3045 # the shells of these boxes know ulimit -c

ARGS=--syslog
# Seconds. As long as systemd and procd wait.
AGAIN_AFTER=60
# A box that boots is busy: it took 3 s from `nice` to the program.
START_MAX=20
# A backup that runs is parked within 10 seconds.
STOP_AFTER=15
# Behind this there is only a disk that does not answer.
KILL_MAX=5

# To the log too: nobody sees what a box without a screen says at its start.
logged() {
    logger -t brackup -p daemon.err "$1" 2>/dev/null || true
}

complain() {
    say "$1"
    logged "$1"
}

# Becomes the program.
launch() {
    exec nice -n 19 "$PROG" "$@"
}

# In the background nobody hears what is wrong: it is asked for beforehand, as whom the program runs. Not what is right.
check() {
    { (launch config check --config "$CONF") >/dev/null; } 2>&1
}

# The process of the pid file, if it still is the program: numbers are given anew after a reboot.
running_pid() {
    named=$(named)
    case "$(tr '\0' ' ' 2>/dev/null <"/proc/${named:-none}/cmdline")" in
        "$PROG "*) echo "$named" ;;
        *) return 1 ;;
    esac 2>/dev/null
}

is_running() {
    running_pid >/dev/null
}

# The first word of the pid file.
named() {
    { read -r word _ <"$PIDFILE"; } 2>/dev/null && echo "$word"
}

# When a process began, in the kernel's ticks, so that no other is taken for it; nothing if it has ended. Not from `cmdline`: that may
# never answer while the process waits for a disk.
born() {
    # Without a number it would be that of the whole machine.
    { read -r line <"/proc/${1:-none}/stat"; } 2>/dev/null || return 1
    # shellcheck disable=SC2086 # the fields behind the name, which may hold blanks
    set -- ${line##*) }
    case "$1" in
        Z | X) return 1 ;;
        *) echo "${20}" ;;
    esac
}

# Ends a process; 1 if it can't be ended.
end() {
    began=$(born "$1") || return 0
    kill -TERM "$1"
    left=$((STOP_AFTER + KILL_MAX))
    while [ "$(born "$1")" = "$began" ]; do
        [ "$left" -gt 0 ] || return 1
        [ "$left" -gt "$KILL_MAX" ] || kill -KILL "$1"
        sleep 1
        left=$((left - 1))
    done
}

service_start() {
    if is_running; then
        return 0
    fi
    if ! told=$(check); then
        complain "not started: $told"
        return 1
    fi
    # Warnings.
    [ -z "$told" ] || logged "$told"
    (umask 077 && : >"$ERRFILE") 2>/dev/null || ERRFILE=/dev/null
    echo new >"$PIDFILE"
    (keep) </dev/null >>"$ERRFILE" 2>&1 3<"$PIDFILE" &
    left=$START_MAX
    while [ "$left" -gt 0 ] && ! is_running && is_coming; do
        sleep 1
        left=$((left - 1))
    done
    sleep 1
    if is_running; then
        return 0
    fi
    # Nothing is left that would run beside the next one.
    begun=$(named)
    rm -f "$PIDFILE"
    end "$begun"
    complain "did not stay up: $(tail -n 1 "$ERRFILE") (the system's log may say more)"
    return 1
}

# It was not begun yet, or goes on in whatever became of it.
is_coming() {
    [ -e "$PIDFILE" ] || return 1
    begun=$(named)
    # Nothing is in it while it is written.
    case "$begun" in '' | new) return 0 ;; esac
    born "$begun" >/dev/null
}

keep() {
    cd /
    # Whoever started it leaves his terminal. The program has a use of its own for that signal.
    trap 'heard=yes' HUP
    mine=new
    while :; do
        (
            umask 077
            ulimit -c 0
            # If memory runs out, backups are the first to go; not this shell, which brings them back.
            echo 500 2>/dev/null >/proc/self/oom_score_adj
            exec 3>&-
            # shellcheck disable=SC2086 # a list of words
            launch serve --config "$CONF" $ARGS
        ) &
        program=$!
        if [ "$(named)" = "$mine" ]; then
            mine=$program
            # Where it was opened: what was removed by now does not come back.
            echo "$mine" >/proc/self/fd/3
        fi
        if [ "$(named)" != "$program" ]; then
            kill "$program"
            return
        fi
        heard=yes
        while [ -n "$heard" ]; do
            heard=
            wait "$program"
            status=$?
        done
        # Done, or a wrong configuration, which does not get better by trying again.
        case $status in 0 | 2) return ;; esac
        is_wanted 0 || return
        complain "ended with status $status, is started again in $AGAIN_AFTER s"
        is_wanted "$AGAIN_AFTER" || return
        # As much as tells why, however often it ends.
        told=$(tail -c 4096 "$ERRFILE")
        echo "$told" >"$ERRFILE"
    done
}

# Whether the pid file is as `keep` wrote it, for so many seconds.
is_wanted() {
    left=$1
    while [ "$(cat "$PIDFILE" 2>/dev/null)" = "$mine" ]; do
        [ "$left" -gt 0 ] || return 0
        sleep 1
        left=$((left - 1))
    done
    return 1
}

service_stop() {
    if pid=$(running_pid); then
        # It is not started again, also if it can only be ended later.
        echo "$pid stops" >"$PIDFILE"
        if ! end "$pid"; then
            complain "does not end: process $pid waits for a disk"
            return 1
        fi
    fi
    rm -f "$PIDFILE" "$ERRFILE"
}

# A wrong configuration is told here, and the one that is in force stays.
service_reload() {
    pid=$(running_pid) || return 1
    told=$(check)
    status=$?
    if [ "$status" -ne 0 ]; then
        complain "goes on as before: $told"
        return "$status"
    fi
    kill -HUP "$pid"
}

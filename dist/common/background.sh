# shellcheck shell=sh
# Runs the service where there is neither systemd nor procd nor start-stop-daemon. The script that reads this sets PROG, CONF and
# PIDFILE, and says what a message is: `say TEXT`.

# The process of the pid file, if it still is a brackup: numbers are given anew after a reboot.
running_pid() {
    pid=$(cat "$PIDFILE" 2>/dev/null) || return 1
    [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = brackup ] && echo "$pid"
}

is_running() {
    running_pid >/dev/null
}

start() {
    if is_running; then
        return 0
    fi
    if ! told=$("$PROG" config check --config "$CONF" 2>&1); then
        say "not started: $told"
        return 1
    fi
    # shellcheck disable=SC3045 # the shells of these boxes know -c
    (
        umask 077
        ulimit -c 0
        exec nice -n 19 "$PROG" serve --config "$CONF" --syslog </dev/null >/dev/null 2>&1
    ) &
    echo $! >"$PIDFILE"
    # If memory runs out, backups are the first to go.
    echo 500 2>/dev/null >"/proc/$!/oom_score_adj" || true
    sleep 1
    if ! is_running; then
        rm -f "$PIDFILE"
        say "did not stay up: the system's log says why"
        return 1
    fi
}

# A backup that runs is parked within 10 seconds.
stop() {
    if ! pid=$(running_pid); then
        rm -f "$PIDFILE"
        return 0
    fi
    kill -TERM "$pid"
    left=15
    while [ $left -gt 0 ] && is_running; do
        sleep 1
        left=$((left - 1))
    done
    if is_running; then
        kill -KILL "$pid"
    fi
    rm -f "$PIDFILE"
}

reload() {
    pid=$(running_pid) && kill -HUP "$pid"
}

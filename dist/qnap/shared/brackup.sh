#!/bin/sh
# What QTS calls, as its administrator: it has no users for packages.

HERE=$(/sbin/getcfg brackup Install_Path -f /etc/config/qpkg.conf)
PROG=$HERE/brackup
CONF=$HERE/brackup.conf
PIDFILE=/var/run/brackup.pid
ERRFILE=$HERE/brackup.err

say() {
    echo "brackup: $1" >&2
    /sbin/log_tool -t 1 -a "brackup: $1"
}

# shellcheck source=dist/common/background.sh
. "$HERE/background.sh"

case "$1" in
    start)
        if [ "$(/sbin/getcfg brackup Enable -u -d FALSE -f /etc/config/qpkg.conf)" != TRUE ]; then
            say "is disabled"
            exit 1
        fi
        service_start
        ;;
    stop | reload)
        "service_$1"
        ;;
    restart)
        service_stop && service_start
        ;;
    remove) ;;
    *)
        echo "usage: $0 start|stop|restart|reload|remove" >&2
        exit 2
        ;;
esac

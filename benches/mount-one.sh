# mount-one.sh MOUNTPOINT COPY PLACES COMMAND…: mounts with the command, reads the first of the places (colons between) that is there
# below the mount point into the copy, and unmounts. A mount that goes to the background is waited for; one that fails is not.
at=$1 copy=$2 places=$3
shift 3
"$@" & mounted=$!
IFS=:
tries=0 found= ended=
while [ -z "$found" ] && [ $tries -lt 6000 ]; do
    for place in $places; do
        [ -f "$at/$place" ] && found=$at/$place && break
    done
    if [ -z "$ended" ] && ! kill -0 $mounted 2>/dev/null; then
        wait $mounted || exit 1
        ended=yes
    fi
    [ -n "$found" ] || sleep 0.02
    tries=$((tries + 1))
done
[ -n "$found" ] && cat "$found" >"$copy"
code=$?
umount "$at" || fusermount -u "$at"
wait $mounted
exit $code

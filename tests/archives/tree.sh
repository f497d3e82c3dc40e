#!/bin/bash
# Makes version 1 of a small tree in the new folder DIR, or changes it to version 2. Everything in it can be made without root.
#
#   tree.sh 1|2 DIR
set -euo pipefail
umask 022
version=$1
[ "$version" = 2 ] || mkdir "$2"
cd "$2"

noise() { python3 -c 'import random, sys; sys.stdout.buffer.write(random.Random(int(sys.argv[1])).randbytes(int(sys.argv[2])))' "$1" "$2"; }
# Every time is set, with nanoseconds, so that a run tomorrow makes the same tree.
stamp() { touch -h -d "$1" -- "${@:2}"; }

if [ "$version" = 1 ]; then
    printf 'Hello, backup.\n' >text.txt
    : >empty
    noise 1 90000 >noise.bin
    seq -f 'line %.0f of a log that says the same again and again' 50000 >log.txt
    truncate -s 3M sparse && printf 'in the middle' | dd of=sparse bs=1 seek=1500000 conv=notrunc status=none
    dd if=/dev/zero of=zeros bs=64K count=20 status=none
    mkdir -p dir/inner/deeper dir/empty "$(printf 'dir/\303\244\303\266\303\274')"
    printf 'deep\n' >dir/inner/deeper/file
    ln -s ../text.txt dir/link
    ln -s nowhere/at/all dangling
    ln -s "$(printf 'caf\351\n')" 'odd link'
    ln text.txt dir/same-inode
    mkfifo -m 0620 fifo
    printf '1' >"$(printf 'caf\351')"
    printf '2' >"$(printf 'line\nbreak')"
    printf '3' >"it's"
    printf '4' >'back\slash'
    printf '5' >' blanks '
    printf '6' >-rf
    printf '7' >"$(printf '\360\237\246\200 \342\200\256rtl')"
    printf '8' >'#: [x, {y}] & *z ---'
    printf '9' >"$(printf 'n%.0s' {1..255})"
    printf 'a' >a-b
    mkdir a && printf 'a' >a/c          # sorts before a-b: a / is below every other byte
    printf 'attributed' >attributed && setfattr -n user.brackup -v 0x00ff27 attributed
    chmod 0600 text.txt
    chmod 0755 noise.bin
    chmod 0400 empty
    chmod 1777 dir/empty
    chmod 0500 dir/inner/deeper
    find . -depth -print0 | while IFS= read -r -d '' path; do stamp '2006-07-08 09:10:11.123456789Z' "$path"; done
    stamp '1969-12-31 23:59:58.100000000Z' log.txt
    stamp '2040-02-03 04:05:06.000000007Z' -rf
    stamp '1999-12-31 23:59:59Z' dir/inner
else
    printf 'Hello again.\n' >text.txt
    printf 'and one more line\n' >>log.txt
    noise 2 90000 >noise.bin
    rm dangling zeros
    rm -r a && printf 'was a directory' >a
    mkdir new && printf 'new' >new/file
    chmod 0640 "it's"
    stamp '2007-01-02 03:04:05.6Z' text.txt log.txt noise.bin a new/file new
    stamp '2007-01-02 03:04:06Z' .
fi

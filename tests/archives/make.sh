#!/bin/bash
# Makes the archives of the present version with the real program, in the new folder OUT:
#
#   tests/archives/make.sh OUT          then look at it, and move the folders here that are to be kept for ever
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$1
mkdir "$out"
out=$(cd "$out" && pwd)
(cd "$here/../.." && cargo build --quiet --bin brackup)
brackup=${CARGO_TARGET_DIR:-$here/../../target}/debug/brackup

# archive NAME CIPHER KEYS...   a key of the name "locked" is made with a passphrase
archive() {
    local folder=$out/$1 cipher=$2 work box
    shift 2
    work=$(mktemp -d)
    mkdir -p "$folder/store" "$work/home"
    # Nothing of the user who runs this: an environment of its own.
    box=(env -i PATH="$PATH" HOME="$work/home" BRACKUP_STATE_DIR="$work/state" BRACKUP_KEY_DIR="$work/keys" BRACKUP_CONF="$work/brackup.conf")
    printf '[BOX]\ncipher = %s\n[TARGET:store]\ntype = Filesystem\npath = %s\n' "$cipher" "$folder/store" >"$work/brackup.conf"
    printf '[SOURCE:tree]\npath = %s\nchunk_size = 1MiB\n' "$work/tree" >"$work/source"
    for key in "$@"; do
        local option=()
        if [ "$key" = locked ]; then
            option=(--passphrase)
            printf 'correct horse' >"$folder/passphrase.txt"
        fi
        "${box[@]}" BRACKUP_PASSPHRASE='correct horse' "$brackup" keygen "${option[@]}" --out "$folder/$key.key" --quiet |
            sed -n 's/^public key: /recipient = /p' >>"$work/source"
        # Visible in the file, and to whoever greps for keys in repositories.
        sed -i '1i # TEST KEY: it is public, seal nothing to it' "$folder/$key.key"
    done
    cat "$work/source" >>"$work/brackup.conf"
    local version name
    for version in 1 2; do
        "$here/tree.sh" "$version" "$work/tree"
        name=$("${box[@]}" "$brackup" --from=tree --to=store --json | sed 's/.*"backup":"\([^"]*\)".*/\1/')
        { echo "# $name"; python3 "$here/describe.py" "$work/tree"; } >>"$folder/expected.txt"
    done
    # The first backup goes, and leaves its tombstone.
    if [[ $(basename "$folder") == *-pruned ]]; then
        "${box[@]}" "$brackup" prune store --keep-last 1
        sed -i '1,/^# .*01$/{/^# .*01$/!d}' "$folder/expected.txt"
    fi
    chmod -R u+rwx "$work"
    rm -rf "$work"
    du -sh "$folder"
}

archive v1-aes-one aes-256-gcm secret
archive v1-chacha-two chacha20-poly1305 secret locked
archive v1-pruned chacha20-poly1305 secret

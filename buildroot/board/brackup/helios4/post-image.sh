#!/bin/sh
# genimage takes its files from the folder of the images.
set -eu
install -m 0644 "$(dirname "$0")/extlinux.conf" "$BINARIES_DIR/extlinux.conf"

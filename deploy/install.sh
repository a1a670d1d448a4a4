#!/usr/bin/env bash
# Installs StemeDB on this machine, without a package: what deploy/package/files lists, the user, the folders, a database, the units.
#
#   deploy/install.sh [--program FILE] [--root DIR] [--files-only]
#
#   --program FILE   the built program (default: target/release/stemedb-api of this repository)
#   --root DIR       into a folder instead of /, such as an image: as --files-only
#   --files-only     no user, no folders of data, no database, and no unit is enabled
#
# Run again it is an upgrade. A configuration file that was changed is kept, and the new one put beside it as FILE.new.
set -euo pipefail

repository=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
program=$repository/target/release/stemedb-api
root='' files_only=''
units=(stemedb-api.service stemedb-backup.timer stemedb-wal-archive.timer stemedb-verify.timer stemedb-drill.timer)

die() {
    printf 'install: %s\n' "$*" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
    --program) program=${2:?} && shift ;;
    --root) root=${2:?} files_only=yes && shift ;;
    --files-only) files_only=yes ;;
    *) die "unknown option $1" ;;
    esac
    shift
done
[ -x "$program" ] || die "no program at $program; build it: cargo build --release --features s3, or name one with --program"
[ -n "$root" ] || [ "$(id -u)" = 0 ] || die "must be run by root"

# The first time, the database is made; later an empty folder would be a disk that is not mounted.
is_first=yes
[ ! -e "$root/etc/stemedb/api.toml" ] || is_first=''

while read -r source destination mode kind; do
    case $source in
    '' | '#'*) continue ;;
    program) source=$program ;;
    *) source=$repository/$source ;;
    esac
    path=$root$destination
    if [ "$kind" = config ] && [ -e "$path" ]; then
        cmp -s "$source" "$path" && continue
        echo "kept $path; the new one is $path.new"
        path=$path.new
    fi
    install -D -m "$mode" "$source" "$path"
done <"$repository/deploy/package/files"
[ -z "$files_only" ] || exit 0

if [ -n "$is_first" ]; then /usr/lib/stemedb/setup --init; else /usr/lib/stemedb/setup; fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl enable "${units[@]}"
    systemctl restart "${units[@]}"
fi

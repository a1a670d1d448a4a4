#!/usr/bin/env bash
# ssh HOST COMMAND...: runs a command on one of the machines of a scenario. db-a is this one; another is a process in its own view of
# /var/lib/stemedb, /etc/stemedb and the unit, which reset.sh has made.
set -uo pipefail
host=$1
shift
if [ "$host" = db-a ]; then exec bash -c "$*"; fi
namespace=$(cat "/run/machine/hosts/$host/namespace" 2>/dev/null) || {
    echo "ssh: Could not resolve hostname $host" >&2
    exit 255
}
exec nsenter -t "$namespace" -m -r -w -- bash -c "$*"

# shellcheck shell=bash
# What the server of this machine is configured with, for the scripts beside this file, which source it.

# Given by systemd to its units; by hand and from cron the folders are those that the units have.
runtime=${RUNTIME_DIRECTORY:-/run/stemedb}
# shellcheck disable=SC2034 # verify has its scratch folder there
cache=${CACHE_DIRECTORY:-/var/cache/stemedb}

# Units have it from systemd.
if [ -z "${INVOCATION_ID:-}" ] && [ -r /etc/stemedb/environment ]; then
    set -a
    # shellcheck source=deploy/package/environment
    . /etc/stemedb/environment
    set +a
fi

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Whatever is wrong with the configuration is told by the program.
shown=$(stemedb-api config show) || exit

# Prints the value of a key (`configured backup to`), from file and environment; fails where it is not set.
configured() {
    local value
    value=$(awk -v section="[$1]" -v key="$2" '
        /^\[/ { is_here = $0 == section }
        is_here && $1 == key && $2 == "=" { sub(/^[^=]*= */, ""); gsub(/^"|"$/, ""); print }
    ' <<<"$shown")
    [ -n "$value" ] && printf '%s\n' "$value"
}

# Prints where the running server is asked: at its socket file, which needs neither a key nor TLS, else at its port.
server() {
    local socket
    if socket=$(configured server admin_socket); then
        printf 'unix:%s\n' "$socket"
    else
        printf 'http://%s\n' "$(configured server bind)"
    fi
}

# Prints where backups and archive are.
target() {
    configured backup to || die "[backup] to is not set in the configuration"
}

# Goes on as the user that the database belongs to, where root has called the script: root's lock and root's files would be in its way.
# (Units have their user from systemd.)
as_owner() {
    if [ -z "${INVOCATION_ID:-}" ] && [ "$(id -u)" = 0 ] && id stemedb >/dev/null 2>&1; then
        exec setpriv --reuid=stemedb --regid=stemedb --init-groups "$0" "$@"
    fi
}

# Waits for other scripts of this kind: the server does one backup or archiving at a time and refuses a second.
one_at_a_time() {
    exec 9>"$runtime/maintenance.lock"
    flock --timeout 7200 9 || die "another backup, archiving or verification has been under way for two hours"
}

#!/usr/bin/env bash
# Installs the package into a system of its own, and uses there what is installed as systemd, cron and an operator would.
#
#   installed.sh SYSTEM PACKAGE TRACE
#
# To be called in namespaces of its own (mounts, network, processes), as root. TRACE gets the system calls of the server.
set -euo pipefail

system=$1 package=$2 trace=$3
where=http://127.0.0.1:18180

fail() {
    printf 'installed: %s\n' "$*" >&2
    exit 1
}

# As an administrator's shell in that system.
inside() {
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        chroot "$system" "$@"
}

# `is PATH MODE OWNER:GROUP`
is() {
    local found
    found=$(inside stat -c '%a %U:%G' "$1") || fail "$1 is not there"
    [ "$found" = "$2 $3" ] || fail "$1 is $found, not $2 $3"
}

# Everything that deploy/package/files lists, and the folders of tmpfiles.conf.
is_installed() {
    local destination mode count=0
    while read -r _ destination mode _; do
        case $destination in
        /etc/stemedb/environment) is "$destination" 640 root:stemedb ;;
        *) is "$destination" "${mode#0}" root:root ;;
        esac
        count=$((count + 1))
    done < <(grep -v '^#' "$system/src/deploy/package/files" | grep .)
    is /etc/stemedb 750 root:stemedb
    is /var/lib/stemedb 750 stemedb:stemedb
    is /var/log/stemedb 750 stemedb:stemedb
    is /var/cache/stemedb 750 stemedb:stemedb
    is /run/stemedb 750 stemedb:stemedb
    is /backup 755 root:root
    is /backup/stemedb 750 stemedb:stemedb
    echo "$1: $count files and 7 folders, with their owners and modes"
}

# A database is there, and it is its owner's.
has_database() {
    [ "$(inside stat -c %U /var/lib/stemedb/IDENTITY.a)" = stemedb ] || fail "no database of stemedb's own in /var/lib/stemedb"
    [ -z "$(inside find /var/lib/stemedb ! -user stemedb -print -quit)" ] || fail "somebody else's files in /var/lib/stemedb"
}

# The value of a key of an installed unit.
unit() {
    sed -n "s/^$2=//p" "$system/usr/lib/systemd/system/$1"
}

# Before a command line: as the user of the units, without what they may not.
# shellcheck disable=SC2016 # of the shell inside
as_owner=(sh -c 'umask "$0" && exec "$@"' "$(sed -n 's/^UMask=//p' "$system/src/deploy/systemd/stemedb-api.service")"
    setpriv --reuid=stemedb --regid=stemedb --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all)

# A command line of a unit, as the unit's user, with its variables.
as_unit() {
    local name=$1
    shift
    [ "$(unit "$name" User)" = stemedb ] || fail "$name runs as somebody else"
    inside "${as_owner[@]}" env INVOCATION_ID=0 RUNTIME_DIRECTORY=/run/stemedb CACHE_DIRECTORY=/var/cache/stemedb "$@"
}

status() {
    curl -s -o /dev/null -w '%{http_code}' --max-time 10 "$1" || true
}

ip link set lo up
mount -t proc proc /proc
mount --bind /dev "$system/dev"
mount -t proc proc "$system/proc"
mount -t tmpfs -o mode=755 tmpfs "$system/run"

echo '── dpkg --install ──'
cp "$package" "$system/tmp/stemedb-api.deb"
inside dpkg --install /tmp/stemedb-api.deb
# shellcheck disable=SC2016 # dpkg's own variables
[ "$(inside dpkg-query -W -f '${db:Status-Status}' stemedb-api)" = installed ] || fail 'not installed'
is_installed package
has_database
# shellcheck disable=SC2016
[ "$(inside dpkg-query -W -f '${Conffiles}' stemedb-api | grep -c /)" = 4 ] || fail 'not four files of configuration'
case " $(inside run-parts --test /etc/cron.daily) " in
*/etc/cron.daily/stemedb-cleanup*) ;;
*) fail 'cron would pass over its file' ;;
esac

echo '── the service ──'
# shellcheck disable=SC2046 # the words of the command line
as_unit stemedb-api.service $(unit stemedb-api.service ExecStartPre)
# shellcheck disable=SC2046
strace -f -qq -o "$trace" env -i PATH=/usr/sbin:/usr/bin chroot "$system" "${as_owner[@]}" \
    $(unit stemedb-api.service ExecStart) >"$system/tmp/served.out" 2>"$system/tmp/served.err" &
tracer=$!
for _ in $(seq 300); do
    [ "$(status $where/readyz)" = 200 ] && break
    kill -0 $tracer 2>/dev/null || fail "the service ended: $(cat "$system/tmp/served.err")"
    sleep 0.1
done
[ "$(status $where/readyz)" = 200 ] || fail "$where/readyz is $(status $where/readyz): $(cat "$system/tmp/served.err")"
is /run/stemedb/admin.sock 660 stemedb:stemedb
server=$(awk '/execve\("\/usr\/bin\/stemedb-api"/ { print $1; exit }' "$trace")
[ "$(stat -c %U "/proc/$server")" != root ] || fail 'the service runs as root'
[ "$(curl -s -o /dev/null -w '%{http_code}' -H 'Content-Type: application/json' \
    -d '{"subject":"s","predicate":"p","object":1,"source":"t"}' $where/v1/assert)" = 201 ] || fail 'it records nothing'
echo "$(unit stemedb-api.service ExecStart): $where/readyz 200"

echo '── its units, cron, logrotate ──'
for name in stemedb-backup stemedb-wal-archive stemedb-verify stemedb-drill; do
    as_unit $name.service "$(unit $name.service ExecStart)" >"$system/tmp/unit.out" 2>&1 || fail "$name: $(cat "$system/tmp/unit.out")"
    echo "$name: $(tail -n 1 "$system/tmp/unit.out")"
done
[ -n "$(inside find /backup/stemedb -name metadata.json -user stemedb)" ] || fail 'no backup in /backup/stemedb'
# Somebody's own segments.
inside mkdir -p "/backup/wal-$(date +%Y%m%d)"
inside touch "/backup/wal-$(date +%Y%m%d)/segment.000001.wal"
inside run-parts --regex '^stemedb-cleanup$' /etc/cron.daily >"$system/tmp/cron.out" 2>&1 || fail "cron: $(cat "$system/tmp/cron.out")"
grep -q '"pruned"' "$system/tmp/cron.out" || fail "cron: $(cat "$system/tmp/cron.out")"
inside test -e "/backup/wal-$(date +%Y%m%d)/segment.000001.wal" || fail 'what was moved by hand is gone'
is /run/stemedb/maintenance.lock 640 stemedb:stemedb
as_unit stemedb-failure@.service "$(unit stemedb-failure@.service ExecStart | sed 's/ %i//')" stemedb-api |
    grep -q '^<2>stemedb-api.service has failed' || fail 'nobody is told of a failure'
[ -s "$system/var/log/stemedb/storage.log" ] || fail 'no events in /var/log/stemedb/storage.log'
inside logrotate --force /etc/logrotate.d/stemedb-api
is /var/log/stemedb/storage.log 640 stemedb:stemedb
is /var/log/stemedb/storage.log.1 640 stemedb:stemedb
kill -HUP "$server"
as_unit stemedb-verify.service "$(unit stemedb-verify.service ExecStart)" >/dev/null
for _ in $(seq 50); do
    [ -s "$system/var/log/stemedb/storage.log" ] && break
    sleep 0.1
done
[ -s "$system/var/log/stemedb/storage.log" ] || fail 'the new log gets nothing'
kill -TERM "$server"
wait $tracer || fail "the service ended with $?: $(cat "$system/tmp/served.err")"
echo 'logrotate: a new log is begun; SIGTERM: exit code 0'

echo '── upgrade, removal ──'
echo '# mine' >>"$system/etc/stemedb/api.toml"
# As if its disk were not mounted.
mv "$system/var/lib/stemedb" "$system/tmp/disk"
inside dpkg --install /tmp/stemedb-api.deb >/dev/null
tail -n 1 "$system/etc/stemedb/api.toml" | grep -q '^# mine$' || fail 'a changed configuration was replaced'
[ -z "$(ls -A "$system/var/lib/stemedb")" ] || fail 'an upgrade made a database in an empty folder'
rmdir "$system/var/lib/stemedb"
mv "$system/tmp/disk" "$system/var/lib/stemedb"
inside dpkg --remove stemedb-api >/dev/null
[ -e "$system/etc/stemedb/api.toml" ] || fail 'removal took the configuration along'
[ ! -e "$system/usr/bin/stemedb-api" ] || fail 'removal left the program'
# cron goes on without a word.
[ -z "$(inside run-parts --regex '^stemedb-cleanup$' /etc/cron.daily 2>&1)" ] || fail 'cron says something of a removed package'
inside dpkg --purge stemedb-api
for path in etc/stemedb/api.toml etc/stemedb/environment etc/cron.daily/stemedb-cleanup etc/logrotate.d/stemedb-api; do
    [ ! -e "$system/$path" ] || fail "purge left /$path"
done
has_database
[ -n "$(inside find /backup/stemedb -name metadata.json)" ] || fail 'backups were removed'
echo 'kept: a changed configuration at an upgrade, claims and backups after a purge'

echo '── install.sh ──'
rm -rf "$system/var/lib/stemedb" "$system/backup" "$system/etc/stemedb" "$system/run/stemedb"
# Of the package, which is not installed any more.
dpkg-deb --fsys-tarfile "$package" | tar -x -C "$system/src" --wildcards '*usr/bin/stemedb-api'
inside /src/deploy/install.sh --program /src/usr/bin/stemedb-api
is_installed install.sh
has_database
inside /src/deploy/install.sh --program /src/usr/bin/stemedb-api || fail 'it cannot be run again'
inside setpriv --reuid=stemedb --regid=stemedb --clear-groups stemedb-api verify --data-dir /var/lib/stemedb

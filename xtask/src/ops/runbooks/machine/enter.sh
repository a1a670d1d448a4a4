#!/usr/bin/env bash
# enter.sh PROGRAM ARGUMENTS...: runs a program on a machine of its own, as far as runbooks can tell.
#
# To be started by `unshare --mount --net --pid --fork --mount-proc`. The root of that machine is a folder in memory: what belongs to
# programs (/usr, /bin, …) is the host's, and what operators touch (/etc, /var, /run, /backup) is its own. Nothing that happens here
# is left on the host: no file, no mount, no process, no port.
set -euo pipefail

mount --make-rprivate /
ip link set lo up

# A place that every system has, covered by memory of our own.
root=/mnt
mount -t tmpfs -o size=2g,mode=0755 tmpfs "$root"
for entry in /*; do
    name=${entry#/}
    case $name in
    etc | var | run | backup | mnt) continue ;;
    esac
    if [ -L "$entry" ]; then
        cp -P "$entry" "$root/$name"
    elif [ -d "$entry" ]; then
        mkdir "$root/$name"
        mount --rbind "$entry" "$root/$name"
    fi
done
cp -a /etc "$root/etc"
mkdir -p "$root"/{mnt,run/lock,backup,var/{lib,log,cache,spool},etc/stemedb,etc/cron.daily}
mkdir -m 1777 "$root/var/tmp"
ln -s /run "$root/var/run"
# Not `exec`: the first process of the machine must take in those that others leave behind.
chroot "$root" "$@"

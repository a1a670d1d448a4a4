#!/usr/bin/env bash
# reset.sh KIND SIZE [PACKED]: the machine as it is after the package was installed: a disk of its own at /var/lib/stemedb, a
# configuration, an empty database, nothing running. KIND is tmpfs, or ext4 on a loop device. PACKED is a database that is laid out
# instead of the empty one: a fixture of crates/stemedb-hybrid/tests/fixtures.
set -euo pipefail
#
# $STANDBY is the name of a second machine beside it (ssh.sh), which follows what this one archives under /backup, a disk that both have.
kind=$1 size=$2
systemctl stop stemedb-api
for second in /run/machine/hosts/*/namespace; do
    if [ -e "$second" ]; then kill -KILL "$(cat "$second")" || true; fi
done
# What a block has left running; the machine has processes of its own.
{ pidof stemedb-api || true; } | xargs -r kill -KILL
umount /proc/meminfo 2>/dev/null || true
while umount -l /var/lib/stemedb 2>/dev/null; do :; done
while umount -l /backup 2>/dev/null; do :; done
rm -rf /run/machine/hosts /run/stemedb /var/tmp/*
rm -rf /etc/stemedb /var/log/stemedb /var/lib/stemedb /backup "$FAULTS" /run/machine/disk.img
rm -f /run/machine/{journal,active,main.pid,supervisor.pid,ready,refused,stopping,restarts,result,last-exit}
mkdir -p /etc/stemedb /var/log/stemedb /var/lib/stemedb /backup "$FAULTS"
# What Debian's nginx brings along; what was put into its configuration is gone.
rm -rf /etc/nginx/conf.d /etc/nginx/tls /etc/nginx/sites-enabled
mkdir -p /etc/nginx/conf.d /etc/nginx/sites-enabled /var/log/nginx /var/lib/nginx

case $kind in
tmpfs)
    echo "tmpfs /var/lib/stemedb tmpfs size=$size,mode=0755 0 0" >/etc/fstab
    ;;
ext4)
    truncate -s "$size" /run/machine/disk.img
    mkfs.ext4 -q -F /run/machine/disk.img
    echo "/run/machine/disk.img /var/lib/stemedb ext4 loop 0 0" >/etc/fstab
    ;;
*)
    echo "no disk of kind $kind" >&2
    exit 1
    ;;
esac
mount /var/lib/stemedb
# Clients know the writer by a name: who moves that, moves them.
printf '%s\n' '127.0.0.1 localhost' '127.0.0.1 db-a' '127.0.0.2 db-b' '127.0.0.1 claims' >/etc/hosts

cat >/etc/stemedb/api.toml <<'END'
[server]
bind = "127.0.0.1:18180"

[storage]
data_dir = "/var/lib/stemedb"
lock_timeout_ms = 5000
memory_mib = 320
cache_mib = 64

[backup]
to = "/backup/stemedb"

[logging]
level = "info"
storage_file = "/var/log/stemedb/storage.log"
END
if [ -n "${STANDBY:-}" ]; then
    mount -t tmpfs -o size=512m backup /backup
    machine=/run/machine/hosts/$STANDBY
    mkdir -p "$machine"/{etc,data,log,state/faults}
    cp -a /run/machine/{bin,unit} "$machine/state/"
    address=$(getent hosts "$STANDBY" | cut -d' ' -f1)
    mkdir -p /run/stemedb
    sed "s|^bind = .*|bind = \"$address:18180\"\nadmin_socket = \"/run/stemedb/admin.sock\"|" /etc/stemedb/api.toml >"$machine/etc/api.toml"
    printf '\n[archive]\nto = "/backup/stemedb"\n' >>/etc/stemedb/api.toml
    printf '\n[archive]\nfollow = "/backup/stemedb"\n' >>"$machine/etc/api.toml"
    # Its own view of what differs; processes, ports and the archive are seen by both.
    unshare --mount bash -c '
        umount -l /var/lib/stemedb
        mount --bind "$1/etc" /etc/stemedb
        mount --bind "$1/data" /var/lib/stemedb
        mount --bind "$1/log" /var/log/stemedb
        mount --bind "$1/state" /run/machine
        exec -a "second machine" sleep infinity' bash "$machine" </dev/null >/dev/null 2>&1 &
    echo $! >"$machine/namespace"
    until nsenter -t "$!" -m -r test ! -e /run/machine/hosts 2>/dev/null; do sleep 0.05; done
fi
if [ -z "${3:-}" ]; then
    stemedb-api init --data-dir /var/lib/stemedb
    exit
fi
# Of each file a line with its name, its length and how many bytes follow; the rest of it is zeros.
zstd -dcq "$3" | perl -MFile::Path -MFile::Basename -e '
    binmode STDIN;
    while (defined(my $line = <STDIN>)) {
        chomp $line;
        my ($name, $length, $kept) = split /\t/, $line;
        my $path = "/var/lib/stemedb/$name";
        File::Path::make_path(dirname($path));
        $kept == 0 || read(STDIN, my $content, $kept) == $kept or die "$name is cut short";
        open(my $file, ">:raw", $path) or die "$path: $!";
        print $file $content if $kept;
        close($file) or die "$path: $!";
        truncate($path, $length) or die "$path: $!";
    }'

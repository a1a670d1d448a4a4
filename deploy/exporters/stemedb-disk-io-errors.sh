#!/bin/sh
# I/O errors that the kernel has counted for each disk, as node_disk_io_errors_total, for node_exporter's textfile collector.
#
# node_exporter itself has no such series. The kernel has the numbers where a disk hangs on its SCSI layer (SATA, SAS, USB, many virtual
# disks): /sys/block/*/device/ioerr_cnt. NVMe and virtio disks do not count there, and have no series; of NVMe disks smartctl tells.
#
#   stemedb-disk-io-errors.sh [FOLDER]
#
# FOLDER is node_exporter's --collector.textfile.directory. The file is replaced as a whole, so that nobody reads half of one.
# SYSFS_BLOCK (/sys/block) is where disks are looked for.
set -eu
LC_ALL=C
export LC_ALL

folder=${1:-/var/lib/prometheus/node-exporter}
block=${SYSFS_BLOCK:-/sys/block}
name=stemedb_disk_io_errors.prom

new=$(mktemp "$folder/.$name.XXXXXX")
trap 'rm -f "$new"' EXIT

{
    echo '# HELP node_disk_io_errors_total I/O errors of the disk that the kernel has counted.'
    echo '# TYPE node_disk_io_errors_total counter'
    for counter in "$block"/*/device/ioerr_cnt; do
        # Without any such disk the pattern stands for itself; a disk may be gone by now.
        [ -r "$counter" ] || continue
        hex=$(cat "$counter" 2>/dev/null) || continue
        case $hex in
            0x*[!0-9a-fA-Fx]* | 0x) continue ;;
            0x*) ;;
            *) continue ;;
        esac
        device=${counter#"$block"/}
        device=${device%%/*}
        printf 'node_disk_io_errors_total{device="%s"} %d\n' "$device" "$hex"
    done
} >"$new"

chmod 0644 "$new"
mv "$new" "$folder/$name"
trap - EXIT

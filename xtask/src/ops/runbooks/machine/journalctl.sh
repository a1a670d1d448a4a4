#!/usr/bin/env bash
# journalctl, as far as the runbooks use it, over what unit.sh has kept: a container has no journald. `-o json` has the program's line
# in MESSAGE, as the real one has it.
set -uo pipefail
journal=/run/machine/journal

output=short since=0 lines= follow= kernel=
while [ $# -gt 0 ]; do
    case $1 in
    -u | --unit) shift ;;
    --unit=* | -b | --boot | --no-pager | -e | -x | -q) ;;
    -xeu) shift ;;
    -k | --dmesg) kernel=yes ;;
    -f | --follow) follow=yes ;;
    -n | --lines) lines=$2 && shift ;;
    -n[0-9]*) lines=${1#-n} ;;
    -S | --since) since=$(date -d "$2" +%s) && shift ;;
    --since=*) since=$(date -d "${1#*=}" +%s) ;;
    -o | --output) output=$2 && shift ;;
    --output=*) output=${1#*=} ;;
    *) echo "journalctl of the runbooks' machine: no option $1" >&2 && exit 64 ;;
    esac
    shift
done
if [ -n "$kernel" ]; then exec dmesg; fi
touch "$journal"

case $output in
cat) form='.[2]' ;;
json) form='{__REALTIME_TIMESTAMP: (.[0] | sub("[.,]"; "")), _SYSTEMD_UNIT: "stemedb-api.service", SYSLOG_IDENTIFIER: .[1], MESSAGE: .[2]} | tojson' ;;
short) form='(.[0] | sub(","; ".") | tonumber | floor | strflocaltime("%b %d %H:%M:%S")) + " machine " + .[1] + ": " + .[2]' ;;
*) echo "journalctl of the runbooks' machine: no output $output" >&2 && exit 64 ;;
esac
filter="split(\"\t\") | select((.[0] | sub(\",\"; \".\") | tonumber) >= $since) | $form"

if [ -n "$follow" ]; then
    tail -n "${lines:-10}" -f "$journal" | jq -rR --unbuffered "$filter"
elif [ -n "$lines" ]; then
    tail -n "$lines" "$journal" | jq -rR "$filter"
else
    jq -rR "$filter" "$journal"
fi

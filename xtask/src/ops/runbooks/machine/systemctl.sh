#!/usr/bin/env bash
# systemctl, as far as the runbooks use it, for the one unit stemedb-api: a container has no systemd. What it starts is the real
# program, supervised by unit.sh. Whatever is not known here fails loudly, so that no block passes for a wrong reason.
set -uo pipefail
state=/run/machine

verb= unit= signal=TERM property= value_only=
while [ $# -gt 0 ]; do
    case $1 in
    -s | --signal) signal=$2 && shift ;;
    --signal=*) signal=${1#*=} ;;
    -p | --property) property=$2 && shift ;;
    --property=*) property=${1#*=} ;;
    --value) value_only=yes ;;
    --no-pager | --quiet | -q | --full | -l) ;;
    -*) echo "systemctl of the runbooks' machine: no option $1" >&2 && exit 64 ;;
    *) if [ -z "$verb" ]; then verb=$1; else unit=${1%.service}; fi ;;
    esac
    shift
done
if [ "$verb" = daemon-reload ]; then exit 0; fi
if [ "$unit" != stemedb-api ]; then
    echo "Unit ${unit:-?}.service not found." >&2
    exit 5
fi

active() { cat "$state/active" 2>/dev/null || echo inactive; }
main() { cat "$state/main.pid" 2>/dev/null; }
supervisor() { cat "$state/supervisor.pid" 2>/dev/null; }
alive() { [ -n "$1" ] && kill -0 "$1" 2>/dev/null; }

stop() {
    touch "$state/stopping"
    local pid told=
    for _ in $(seq 1 900); do
        alive "$(supervisor)" || break
        # One that is being started just now is told as soon as it is there.
        pid=$(main)
        if [ "$pid" != "$told" ] && alive "$pid"; then
            kill -TERM "$pid" 2>/dev/null
            told=$pid
        fi
        sleep 0.1
    done
    if alive "$(supervisor)"; then
        pid=$(main)
        if alive "$pid"; then kill -KILL "$pid" 2>/dev/null; fi
        kill -KILL "$(supervisor)" 2>/dev/null
    fi
    rm -f "$state"/{stopping,main.pid,supervisor.pid,ready,refused}
    if [ "$(active)" != failed ]; then echo inactive >"$state/active"; fi
}

start() {
    if alive "$(supervisor)" && [ "$(active)" = active ]; then return 0; fi
    if alive "$(supervisor)"; then stop; fi
    rm -f "$state"/{stopping,ready,refused,main.pid}
    echo activating >"$state/active"
    setsid "$state/unit" </dev/null >/dev/null 2>&1 &
    echo $! >"$state/supervisor.pid"
    for _ in $(seq 1 1800); do
        if [ -e "$state/ready" ]; then return 0; fi
        if [ -e "$state/refused" ]; then break; fi
        sleep 0.05
    done
    echo "Job for stemedb-api.service failed because the control process exited with error code." >&2
    echo 'See "systemctl status stemedb-api.service" and "journalctl -xeu stemedb-api.service" for details.' >&2
    return 1
}

case $verb in
start) start ;;
stop) stop ;;
restart) stop && start ;;
reload) kill -HUP "$(main)" ;;
kill) kill -s "$signal" "$(main)" ;;
reset-failed) if [ "$(active)" = failed ]; then echo inactive >"$state/active"; fi ;;
is-active) active && [ "$(active)" = active ] ;;
show)
    case $property in
    NRestarts) shown=$(cat "$state/restarts" 2>/dev/null || echo 0) ;;
    MainPID) shown=$(main || echo 0) ;;
    ActiveState) shown=$(active) ;;
    *) echo "systemctl of the runbooks' machine: no property $property" >&2 && exit 64 ;;
    esac
    if [ -n "$value_only" ]; then echo "$shown"; else echo "$property=$shown"; fi
    ;;
status)
    case $(active) in
    active) word='active (running)' ;;
    failed) word="failed (Result: $(cat "$state/result" 2>/dev/null))" ;;
    activating) word='activating (auto-restart)' ;;
    *) word='inactive (dead)' ;;
    esac
    echo '● stemedb-api.service - StemeDB'
    echo "     Active: $word"
    if alive "$(main)"; then echo "   Main PID: $(main) (stemedb-api)"; fi
    if [ -e "$state/last-exit" ]; then echo "    Process: $(cat "$state/last-exit")"; fi
    echo
    journalctl -u stemedb-api -n 10
    [ "$(active)" = active ] || exit 3
    ;;
*) echo "systemctl of the runbooks' machine: no verb $verb" >&2 && exit 64 ;;
esac

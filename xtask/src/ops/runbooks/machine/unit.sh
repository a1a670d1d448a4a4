#!/usr/bin/env bash
# What systemd does for the unit: starts the program with an environment of its own, says when it is ready, keeps what it logs, and
# starts it again when it ends by itself (Restart=on-failure, five times in a row at most).
set -uo pipefail
state=/run/machine

# One line of the journal: when, who, what.
note() { printf '%s\t%s\t%s\n' "$EPOCHREALTIME" "$1" "${2//$'\t'/ }" >>"$state/journal"; }
# Everything that the program says; a shell would be too slow for its debug lines, and hold it up.
listen() {
    perl -MTime::HiRes=time -ne '
        BEGIN { $state = shift @ARGV; open($journal, ">>", "$state/journal") or die; select($journal); $| = 1 }
        sub mark { open(my $file, ">", "$state/$_[0]") or die; print $file $_[1] }
        chomp;
        s/\t/ /g;
        printf "%.6f\tstemedb-api\t%s\n", time, $_;
        if (/^listening on /) {
            mark("active", "active\n");
            printf "%.6f\tsystemd[1]\tStarted stemedb-api.service - StemeDB.\n", time;
            mark("ready", "");
        }' "$state"
}

tries=0
while :; do
    rm -f "$state/ready"
    note "systemd[1]" "Starting stemedb-api.service - StemeDB..."
    env -i PATH="$PATH" HOME=/root FAULTS="$FAULTS" LD_PRELOAD="$FAULTS_LIBRARY" \
        stemedb-api serve > >(listen) 2>&1 &
    child=$!
    echo "$child" >"$state/main.pid"
    wait "$child"
    code=$?
    rm -f "$state/main.pid"
    if [ -e "$state/stopping" ] || [ "$code" -eq 0 ]; then
        echo inactive >"$state/active"
        note "systemd[1]" "stemedb-api.service: Deactivated successfully."
        exit 0
    fi
    if [ "$code" -gt 128 ]; then
        result=signal how="code=killed, status=$((code - 128))/$(kill -l $((code - 128)))"
    else
        result=exit-code how="code=exited, status=$code/FAILURE"
    fi
    # What it said last is written before what is said of it.
    sleep 0.1
    note "systemd[1]" "stemedb-api.service: Main process exited, $how"
    note "systemd[1]" "stemedb-api.service: Failed with result '$result'."
    echo "$how" >"$state/last-exit"
    echo "$result" >"$state/result"
    if [ -e "$state/ready" ]; then tries=0; fi
    tries=$((tries + 1))
    if [ "$tries" -ge 5 ]; then
        note "systemd[1]" "stemedb-api.service: Start request repeated too quickly."
        echo failed >"$state/active"
        touch "$state/refused"
        exit 1
    fi
    if [ ! -e "$state/ready" ]; then touch "$state/refused"; fi
    echo activating >"$state/active"
    restarts=$(($(cat "$state/restarts" 2>/dev/null || echo 0) + 1))
    echo "$restarts" >"$state/restarts"
    note "systemd[1]" "stemedb-api.service: Scheduled restart job, restart counter is at $restarts."
    sleep 0.5
    if [ -e "$state/stopping" ]; then
        echo inactive >"$state/active"
        exit 0
    fi
done

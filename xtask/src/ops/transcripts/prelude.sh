# `~` of the pages.
export HOME=$PWD

# What the pages' own comments may call.

# Starts a server on the port that pages name, over the folder that its options name, and returns when it answers.
serve_here() {
    stemedb-api serve "$@" >server.log 2>&1 &
    server=$!
    for _ in $(seq 200); do
        if grep -q '^listening on ' server.log; then return 0; fi
        sleep 0.05
    done
    cat server.log
    return 1
}

# Ends it, as an operator does.
stop_here() {
    kill -TERM "$server" && wait "$server"
}

# Waits until a command that goes on in the background has said something, events apart.
until_told() {
    for _ in $(seq 200); do
        if grep -qv '^{"timestamp":' "$1"; then return 0; fi
        sleep 0.05
    done
    return 1
}


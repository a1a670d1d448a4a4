#!/bin/sh
# cargo, with RocksDB compiled once and for all: ./cargo.sh run --release -- commits
#
# cargo compiles RocksDB again (half an hour) whenever a crate of StemeDB changes the features of a library that RocksDB
# uses too, such as zstd. This keeps the archive of the first build and links it ever after.
# With STEMEDB_PEERS_WITHOUT_ROCKSDB=1 it is left out: two minutes instead.
# The folder is named after the version in Cargo.toml: change both together.
set -eu
cd "$(dirname "$0")"
if [ -n "${STEMEDB_PEERS_WITHOUT_ROCKSDB:-}" ]; then
    command=$1
    shift
    exec cargo "$command" --no-default-features "$@"
fi
kept="$PWD/target/rocksdb-0.25.0"
if [ ! -f "$kept/librocksdb.a" ]; then
    cargo build --release
    mkdir -p "$kept"
    newest=$(ls -t target/release/build/librocksdb-sys-*/out/librocksdb.a | head -n 1)
    # Without debug information: a gigabyte less to link.
    strip --strip-debug -o "$kept/librocksdb.part" "$newest"
    mv "$kept/librocksdb.part" "$kept/librocksdb.a"
fi
ROCKSDB_LIB_DIR="$kept" ROCKSDB_STATIC=1 exec cargo "$@"

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stemedb_wal_fuzz::segments::run(data));

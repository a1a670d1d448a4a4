#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stemedb_lsm_fuzz::tree::run(data));

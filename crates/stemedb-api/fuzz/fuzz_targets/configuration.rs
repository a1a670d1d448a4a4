#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stemedb_api_fuzz::configuration::run(data));

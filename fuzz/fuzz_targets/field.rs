//! Fuzzes the target `field` of `src/fuzz.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keystile::fuzz::run("field", bytes));

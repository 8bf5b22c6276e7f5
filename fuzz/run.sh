#!/bin/sh
# Builds the fuzz targets once, then runs each for SECONDS from its corpus, one on each
# core at a time: fuzz/run.sh SECONDS [TARGET]...
# Fails when one finds something; the input that shows it is left in target/fuzz/artifacts.
# Stable Rust is enough: without a sanitizer nothing asks for nightly, and there is no unsafe code to check.
set -eu
cd "$(dirname "$0")/.."

if [ $# -eq 0 ]; then
    echo "usage: fuzz/run.sh SECONDS [TARGET]..." >&2
    exit 2
fi
seconds=$1
shift
if [ $# -eq 0 ]; then
    for corpus in fuzz/corpus/*; do set -- "$@" "${corpus##*/}"; done
fi

# cargo-fuzz has no --locked of its own.
cargo fetch --locked --quiet --manifest-path fuzz/Cargo.toml
cargo fuzz build --sanitizer none --target-dir target/fuzz
binaries=target/fuzz/$(rustc -vV | sed -n 's/^host: //p')/release

# fuzz TARGET: runs it and says how it went.
fuzz() {
    found=target/fuzz/found/$1
    artifacts=target/fuzz/artifacts/$1/
    log=target/fuzz/$1.log
    mkdir -p "$found" "$artifacts"
    result=passed
    # What is new goes into the first directory; the kept corpus is only read.
    "$binaries/$1" -max_total_time="$seconds" -timeout=10 -print_final_stats=1 \
        -artifact_prefix="$artifacts" "$found" "fuzz/corpus/$1" >"$log" 2>&1 || result=FAILED
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    printf '%-12s %10s executions  %s\n' "$1" "${executions:-?}" "$result"
    if [ "$result" = FAILED ]; then
        echo "$1" >>"$failed"
        sed -n '/panicked at/,/^note/p; /Test unit written to/p; /SUMMARY/p' "$log"
    fi
}

failed=$(mktemp)
begun=0
for target in "$@"; do
    fuzz "$target" &
    begun=$((begun + 1))
    if [ $((begun % $(nproc))) -eq 0 ]; then wait; fi
done
wait
if [ -s "$failed" ]; then exit 1; fi
rm "$failed"

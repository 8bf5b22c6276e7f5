#!/bin/sh
# Builds the fuzz targets once, then runs each for SECONDS from its corpus: fuzz/run.sh SECONDS [TARGET]...
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

failed=0
for target in "$@"; do
    found=target/fuzz/found/$target
    artifacts=target/fuzz/artifacts/$target/
    log=target/fuzz/$target.log
    mkdir -p "$found" "$artifacts"
    # What is new goes into the first directory; the kept corpus is only read.
    if "$binaries/$target" -max_total_time="$seconds" -timeout=10 -print_final_stats=1 \
        -artifact_prefix="$artifacts" "$found" "fuzz/corpus/$target" >"$log" 2>&1; then
        result=passed
    else
        result=FAILED
        failed=1
    fi
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    printf '%-12s %10s executions  %s\n' "$target" "${executions:-?}" "$result"
    if [ "$result" = FAILED ]; then
        sed -n '/panicked at/,/^note/p; /Test unit written to/p; /SUMMARY/p' "$log"
    fi
done
exit "$failed"

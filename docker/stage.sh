#!/bin/sh
# Lays out in DIR what the last stage of the Dockerfile copies: the static binary and an empty data
# directory. The Dockerfile and the container test both build by it, so that the test sees the image.
set -eu
out=${1:?usage: docker/stage.sh DIR}
# Named even though it is the host: with --target the flag leaves procedural macros alone, which are
# shared libraries.
target=$(rustc -vV | sed -n 's/^host: //p')
# A static binary cannot look the C library's getrandom up while it runs, and would read /dev/urandom,
# which an empty directory does not have; so it is linked in.
flags='-C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"'
RUSTFLAGS=$flags cargo build --release --locked --bin keystile \
    --target "$target" --target-dir target/static
binary=target/static/$target/release/keystile
if ldd "$binary" 2>&1 | grep -q '=>'; then
    echo "$binary needs shared libraries, which an empty image does not have" >&2
    exit 1
fi
mkdir -p "$out"
mkdir -p -m 0700 "$out/data"
cp "$binary" "$out/keystile"

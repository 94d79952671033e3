#!/bin/sh
# What logtally takes from GNU coreutils without saying so.
. "$(dirname "$0")/harness.sh"

check "shows bytes for humans" "2.1M" ./logtally bytes tests/access.log

check "finds the last day of a span over 29 February" "2024-03-01" ./logtally until 2024-02-28 3

check "names a checksum's algorithm" \
	"SHA256 (-) = $(sha256sum <tests/access.log | cut -d' ' -f1)" ./logtally digest tests/access.log

finish

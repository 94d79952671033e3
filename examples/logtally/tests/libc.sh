#!/bin/sh
# What the C library answers: glibc can write € with letters, musl has no transliteration.
. "$(dirname "$0")/harness.sh"

check "leaves plain ASCII as it is" "$(cat tests/access.log)" ./logtally ascii tests/access.log

check "writes other letters in ASCII" "2024-03-01 200 10 5 /cafe/price-in-EUR" \
	./logtally ascii tests/unicode.log

finish

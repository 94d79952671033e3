#!/bin/sh
# What POSIX promises, and every distribution keeps.
. "$(dirname "$0")/harness.sh"

check "counts the answers of each status" "200 5
302 1
404 1
500 1" ./logtally status tests/access.log

check "ranks the most requested paths" "3 /
2 /download" ./logtally top 2 tests/access.log

check "takes an empty log" "" ./logtally top 2 /dev/null

finish

#!/bin/sh
# What the shell and awk of the day can do: pipefail, tabs from echo, counted repetition.
. "$(dirname "$0")/harness.sh"

check "lists requests of a second or more" "/download
/report" ./logtally slow tests/access.log

check "prints a table with tabs" "$(printf 'status\tanswers\n200\t5\n302\t1\n404\t1\n500\t1')" \
	./logtally summary tests/access.log

finish

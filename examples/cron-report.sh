#!/bin/sh
# A cron job that reports to a project's bus: what it did, or that it crashed, and how.
#
#     15 3 * * *  PATH=/usr/local/bin:$PATH /path/to/cron-report.sh nightly pg_dump --file=backup.sql shop
#
# Usage: cron-report.sh PROJECT COMMAND [ARGUMENT]...
set -u
project=$1
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT

"$@" >"$log" 2>&1
status=$?
type=FACT
test "$status" -eq 0 || type=CRASH
# Cron gives no terminal and an empty standard input, so the text goes in by a pipe.
{
    echo "$1 ended with status $status"
    tail -n 20 "$log" | tail -c 65536 | tr -d '\000' | iconv -c -f UTF-8 -t UTF-8 # a job may print anything
} | run-agent bus post --quiet --project "$project" --type "$type" --meta "status=$status" >/dev/null
exit "$status"

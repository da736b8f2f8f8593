#!/bin/sh
# A cron job that reports to a project's bus: what it did, or that it crashed, and how.
#
#     15 3 * * *  PATH=/usr/local/bin:$PATH /path/to/cron-report.sh nightly pg_dump --file=backup.sql shop
#
# Usage: cron-report.sh PROJECT COMMAND [ARGUMENT]...
# The job runs, and its status is that of this script, whatever becomes of the report: a disk that is full, a bus
# that is locked or missing. (As under cron itself, a daemon that the job leaves behind needs an output of its own.)
set -u
project=$1
shift

# The end of what it prints, and its status in the last line. Through a pipe: a file would need room on a disk.
output=$({ "$@" 2>&1; printf '\n%s' "$?"; } | tail -n 22 | tail -c 65536 | tr -d '\000')
status=${output##*
}
type=FACT
test "$status" -eq 0 || type=CRASH
# Cron gives no terminal and an empty standard input, so the text goes in by a pipe.
printf '%s\n' "$1 ended with status $status" "${output%?"$status"}" |
    iconv -c -f UTF-8 -t UTF-8 | # a job may print anything
    run-agent bus post --quiet --project "$project" --type "$type" --meta "status=$status" >/dev/null
exit "$status"

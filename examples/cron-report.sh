#!/bin/sh
# Runs a cron job and reports to the bus of a project: what it printed, and whether it failed.
#
#     15 3 * * *  PATH=/usr/local/bin:$PATH /path/to/cron-report.sh nightly pg_dump --file=backup.sql shop
#
# Usage: cron-report.sh PROJECT COMMAND [ARGUMENT]...
# The job runs, and this script exits with its status, even if the report fails because the disk is full
# or the bus is locked or missing. (As under cron itself, a daemon that the job starts needs its own output.)
set -u
project=$1
shift

# The end of its output, with its status as the last line. Through a pipe: a file would need space on the disk.
output=$({ "$@" 2>&1; printf '\n%s' "$?"; } | tail -n 22 | tail -c 65536 | tr -d '\000')
status=${output##*
}
type=FACT
test "$status" -eq 0 || type=CRASH
# Cron gives no terminal and an empty standard input, so the text goes through a pipe.
printf '%s\n' "$1 ended with status $status" "${output%?"$status"}" |
    iconv -c -f UTF-8 -t UTF-8 | # a job may print any bytes
    run-agent bus post --quiet --project "$project" --type "$type" --meta "status=$status" >/dev/null
exit "$status"

#!/bin/sh
# A CI step: posts its start and its end to the bus, and exits with the status of its command. The
# end refers to the start, so a reader sees which steps have not ended.
#
# Usage: ci-step.sh NAME COMMAND [ARGUMENT]...     with MESSAGE_BUS and JRUN_PROJECT_ID set
set -u
name=$1
shift
start=$(run-agent bus post --quiet --type RUN_START --run "$name" --body "$*") # it also runs without a bus
"$@"
status=$?
type=RUN_STOP
test "$status" -eq 0 || type=RUN_CRASH
run-agent bus post --quiet --type "$type" --run "$name" ${start:+--parent "$start:ends"} \
    --meta "status=$status" --body "$name: status $status" >/dev/null
exit "$status"

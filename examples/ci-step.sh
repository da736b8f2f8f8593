#!/bin/sh
# A CI step: says on the bus that it starts and how it ends, and leaves its status as it is. The
# end refers to the start, so a reader sees which step has not ended.
#
# Usage: ci-step.sh NAME COMMAND [ARGUMENT]...     with MESSAGE_BUS and JRUN_PROJECT_ID set
set -u
name=$1
shift
start=$(run-agent bus post --quiet --type RUN_START --run "$name" --body "$*") # without a bus it runs as well
"$@"
status=$?
type=RUN_STOP
test "$status" -eq 0 || type=RUN_CRASH
run-agent bus post --quiet --type "$type" --run "$name" ${start:+--parent "$start:ends"} \
    --meta "status=$status" --body "$name: status $status" >/dev/null
exit "$status"

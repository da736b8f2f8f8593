#!/bin/sh
# `make demo`: two agents, both shell scripts, work on one task and talk over its bus, while a
# third process follows it. Nothing is left behind but what this prints.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(mktemp -d)
follower=
trap 'test -z "$follower" || kill "$follower" 2>/dev/null || true; rm -rf "$root"' EXIT
trap 'exit 130' INT TERM

task=$root/demo/build-release
mkdir -p "$task"
bus=$task/TASK-MESSAGE-BUS.md
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
test -t 1 && test -z "${NO_COLOR:-}" || say() { printf '\n%s\n' "$*"; }

say "1. Follow a bus that does not exist yet:  run-agent bus read --follow"
run-agent bus read --bus "$bus" --follow | while IFS= read -r line; do
    printf '%s\n' "$line"
    case $line in *"Release built."*) break ;; esac # then the follower sees its pipe closed, and ends
done &
follower=$!

say "2. Two agents start at the same time:  examples/planner.sh  examples/builder.sh"
MESSAGE_BUS=$bus RUN_FOLDER=$task/runs/planner sh "$here/planner.sh" &
planner=$!
MESSAGE_BUS=$bus RUN_FOLDER=$task/runs/builder sh "$here/builder.sh" &
builder=$!
wait "$planner"
wait "$builder"
wait "$follower"
follower=

say "3. The file, as an editor shows it:  $(basename "$bus")"
cat "$bus"

say "4. What the answers answered:  run-agent bus read --type ANSWER --long"
run-agent bus read --bus "$bus" --type ANSWER --long
echo
echo "$(grep -c '^msg_id: ' "$bus") messages in all."

say "Try next"
cat <<'NEXT'
  . .venv/bin/activate
  run-agent bus post --project demo --task mine --type QUESTION --body "Anybody there?"
  run-agent bus read --project demo --task mine --follow       (in another terminal)
  run-agent bus post --help
NEXT

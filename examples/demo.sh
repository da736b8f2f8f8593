#!/bin/sh
# `make demo`: two agents, both shell scripts, work on one task and talk over its bus, while a
# third process follows it. It removes all its files at the end.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(mktemp -d)
follower=
server=
trap 'kill $follower $server 2>/dev/null || true; rm -rf "$root"' EXIT
trap 'exit 130' INT TERM

task=$root/demo/build-release
mkdir -p "$task"
bus=$task/TASK-MESSAGE-BUS.md
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
test -t 1 && test -z "${NO_COLOR:-}" || say() { printf '\n%s\n' "$*"; }

say "1. Follow a bus that does not exist yet:  run-agent bus read --follow"
run-agent bus read --bus "$bus" --follow | while IFS= read -r line; do
    printf '%s\n' "$line"
    case $line in *"Release built."*) break ;; esac # the follower then sees that its pipe is closed, and ends
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

say "4. The answers, with their questions:  run-agent bus read --type ANSWER --long"
run-agent bus read --bus "$bus" --type ANSWER --long
echo
echo "$(grep -c '^msg_id: ' "$bus") messages in all."

say "5. A browser learns of each post at once:  run-agent serve"
run-agent serve --root "$root" --port 0 >"$root/url" 2>"$root/log" &
server=$!
until url=$(sed -n 's/^Serving .* at \(http[^ ]*\) .*/\1/p' "$root/url") && test -n "$url"; do
    kill -0 "$server" 2>/dev/null || { cat "$root/log" >&2; exit 1; }
    sleep 0.1
done
python3 "$here/listen.py" "$url/api/projects/demo/tasks/build-release/messages/stream" "Shipped." &
listener=$!
run-agent bus post --quiet --bus "$bus" --type FACT --body "Shipped." >/dev/null
wait "$listener"
kill "$server"
wait "$server" || true
server=

say "Try next"
cat <<'NEXT'
  . .venv/bin/activate
  run-agent bus post --project demo --task mine --type QUESTION --body "Is anyone there?"
  run-agent bus read --project demo --task mine --follow       (in another terminal)
  run-agent bus post --help
  run-agent serve --open                                       (the same in a browser)
NEXT

test -t 0 && test -t 1 || exit 0 # there is no one to ask
printf '\nLook at this conversation in a browser now? [y/N] '
read -r answer || answer=
case $answer in
    [yY]*)
        trap : INT # Ctrl-C stops the server; this script then ends as usual
        run-agent serve --root "$root" --port 0 --open 2>/dev/null || true
        ;;
esac

#!/bin/sh
# An agent: asks the builder two questions and posts a decision. Its bus is $MESSAGE_BUS.
set -eu
post() { run-agent bus post --quiet "$@"; }
# answer_to ID: wait for the message whose parent is ID, and print its text.
answer_to() {
    run-agent bus read --follow --since "$1" --type ANSWER --json |
        while read -r line; do
            case $line in *"\"parents\": [\"$1\"]"*) printf '%s\n' "$line" | sed 's/.*"body": "\([^"]*\)".*/\1/'; break ;; esac
        done
}

post --type PROGRESS --body "Planning the release of version 1.4." >/dev/null
question=$(post --type QUESTION --body "Is main green?")
echo "planner: got '$(answer_to "$question")'" >&2
question=$(post --type QUESTION --body "How long is the list of changes?
Please answer with the number only.")
changes=$(answer_to "$question")
post --type DECISION --body "We release 1.4 with $changes changes today." >/dev/null

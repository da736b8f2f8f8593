#!/bin/sh
# An agent: reports what it does, and answers every question until a decision is made.
set -eu
post() { run-agent bus post --quiet "$@" >/dev/null; }
# The first field of that name: the fields of the message come before those of its relations.
field() { printf '%s\n' "$2" | grep -o "\"$1\": \"[^\"]*\"" | head -n 1 | cut -d '"' -f 4; }

post --type PROGRESS --body "Checking out main and running the tests."
post --type FACT --body "412 tests pass." --meta branch=main
run-agent bus read --follow --tail 0 --json | while read -r message; do
    id=$(field msg_id "$message")
    case $(field type "$message"):$(field body "$message") in
    QUESTION:*green*) post --type ANSWER --parent "$id:answers" --body "Yes: 412 tests pass." ;;
    QUESTION:*changes*) post --type ANSWER --parent "$id:answers" --body "17" ;;
    QUESTION:*) post --type ANSWER --parent "$id:answers" --body "I do not know." ;;
    DECISION:*) break ;;
    esac
done
post --type FACT --body "Release built."

#!/bin/sh
# Post, page and listen with curl: sh serve-curl.sh URL PROJECT    (where `run-agent serve` answers)
# Prints the bodies of all messages, and then what comes within $LISTEN seconds.
set -eu
messages=$1/api/projects/$2/messages
ask() { curl --silent --show-error --fail-with-body ${RUN_AGENT_API_KEY:+-H "X-API-Key: $RUN_AGENT_API_KEY"} "$@"; }

# A key of its own makes the retry of a post safe.
ask "$messages" -H "Content-Type: application/json" -H "Idempotency-Key: start-$$" --retry 3 \
    --data '{"type": "PROGRESS", "body": "curl is here"}' >/dev/null

# Page from the beginning: two at a time, going on from "next" until a page is empty.
since=
while page=$(ask --get "$messages" -d first=2 ${since:+-d since="$since"}) && test "$page" != '{"messages": []}'; do
    printf '%s\n' "$page" | grep -o '"body": "[^"]*"'
    since=$(printf '%s\n' "$page" | sed 's/.*"next": "\([^"]*\)".*/\1/')
done

# Listen behind the last of them, for a while.
ask --no-buffer --max-time "${LISTEN:-10}" "$messages/stream?after=$since" 2>/dev/null | sed -n '/"msg_id"/s/^data: //p'

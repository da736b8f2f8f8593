#!/bin/sh
# Post, page and listen with curl: sh serve-curl.sh URL PROJECT    (URL is that of `run-agent serve`)
# Prints the bodies of all messages, and then of those that arrive within $LISTEN seconds.
set -eu
messages=$1/api/projects/$2/messages
ask() { curl --silent --show-error --fail-with-body ${RUN_AGENT_API_KEY:+-H "X-API-Key: $RUN_AGENT_API_KEY"} "$@"; }

# An idempotency key makes it safe to retry the post.
ask "$messages" -H "Content-Type: application/json" -H "Idempotency-Key: start-$$" --retry 3 \
    --data '{"type": "PROGRESS", "body": "curl is here"}' >/dev/null

# Page from the beginning, two messages at a time, until a page has no "next". An id may contain any
# character (that of a line added by hand has a +), so it is encoded in the URL.
since=
while :; do
    page=$(ask --get "$messages" -d first=2 ${since:+--data-urlencode "since=$since"}) || { echo "$page" >&2; exit 1; }
    next=$(printf '%s\n' "$page" | sed -n 's/.*, "next": "\([^"]*\)".*/\1/p')
    test -n "$next" || break
    printf '%s\n' "$page" | grep -oE '"body": "([^"\\]|\\.)*"' || true
    since=$next
done

# Listen for messages after the last of them.
ask --no-buffer --max-time "${LISTEN:-10}" --get "$messages/stream" --data-urlencode "after=$since" 2>/dev/null |
    sed -n '/"msg_id"/s/^data: //p'

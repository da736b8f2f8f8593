# shellcheck shell=bash
# Posting from bash in well under a millisecond: one `run-agent bus post --jsonl` runs as a
# coprocess, so that a post costs a line through a pipe and no new process.
#
#     source examples/fast-post.sh
#     fast_post_start --project demo --task task-1      (any flag of `run-agent bus post`)
#     fast_post FACT "412 tests pass" >/dev/null; id=$FAST_POST_ID
#     fast_post_stop
#
# fast_post also prints the id, but in $(...) bash would fork, which takes longer than the post.

fast_post_start() {
    coproc FAST_POST { exec run-agent bus post --jsonl --quiet "$@" 2>&1; }
    # Bash unsets its own when the coprocess ends, so keep copies.
    FAST_POST_IN=${FAST_POST[1]} FAST_POST_OUT=${FAST_POST[0]} FAST_POST_PROCESS=$FAST_POST_PID
}

# fast_post TYPE TEXT: post, print the id, and leave it in FAST_POST_ID. Status 1: the post was
# refused, with the reason on stderr, or the coprocess has ended.
fast_post() {
    local type text
    if [[ -z ${FAST_POST_IN:-} ]] || ! kill -0 "$FAST_POST_PROCESS" 2>/dev/null; then
        echo "fast_post: no coprocess is running; call fast_post_start" >&2
        return 1
    fi
    fast_post_json "$1"; type=$FAST_POST_JSON
    fast_post_json "$2"; text=$FAST_POST_JSON
    printf '{"type":%s,"body":%s}\n' "$type" "$text" >&"$FAST_POST_IN" || return 1
    FAST_POST_ID=
    while read -r FAST_POST_ID <&"$FAST_POST_OUT"; do
        case $FAST_POST_ID in
        MSG-*)
            printf '%s\n' "$FAST_POST_ID"
            return ;;
        esac
        printf 'fast_post: %s\n' "$FAST_POST_ID" >&2 # a warning, or the reason for the refusal
        [[ $FAST_POST_ID == Error:* ]] && break
    done
    FAST_POST_ID=
    return 1
}

# End the coprocess; every post that got an id is stored already.
fast_post_stop() {
    exec {FAST_POST_IN}>&-
    FAST_POST_IN=
    wait "$FAST_POST_PROCESS"
}

# Leave $1 as a JSON string in FAST_POST_JSON, without a new process.
fast_post_json() {
    local text=$1 code char
    text=${text//\\/\\\\}
    text=${text//\"/\\\"}
    if [[ $text == *[[:cntrl:]]* ]]; then
        for code in {1..31}; do
            printf -v char "\\x$(printf %02x "$code")"
            printf -v FAST_POST_JSON '\\u%04x' "$code"
            text=${text//"$char"/$FAST_POST_JSON}
        done
    fi
    FAST_POST_JSON="\"$text\""
}

"""The bodies of REST requests that do not post a message."""

from __future__ import annotations

from run_agent.contracts.words import ID, TEXT, Schema, list_of, record

MAX_CURSORS = 1_000  # in one request for unread counts

SEEN: Schema = record(
    "buses",
    buses=list_of(record("project_id", project_id=ID, task_id=ID, after=TEXT)) | {"maxItems": MAX_CURSORS},
) | {"examples": [{"buses": [{"project_id": "demo", "task_id": "t1"}]}]}
KEY: Schema = record("key", key=TEXT) | {"examples": [{"key": "a-key-that-is-hard-to-guess"}]}

"""What is hard to keep and to read: messages whose bodies imitate the format, and scraps of it as junk."""

from __future__ import annotations

from messagebus import Draft, Parent

FORGED = "MSG-01FORGED0000000000000000ZZ"
RECORD = f"---\nmsg_id: {FORGED}\ntype: FACT\nproject_id: p\n---\nforged\n".encode()
START = b"\n\n---\nmsg_id:"
DRAFTS = [
    Draft("FACT", "p", "plain"),
    Draft("ISSUE", "p", "", task_id="t", meta={"k": "v: w"}),
    Draft("two words", "p", RECORD.decode() * 2, run_id=FORGED),
    Draft("ANSWER", "p", "---\n\n\\---\r\n", parents=[Parent(FORGED, "answers", {"a": "b"}), "c"]),
    Draft("FACT", "p", "x" * 3000),
    Draft("yes", "007", "[2026-11-21 03:14:15] FACT: y\n\n---"),
    Draft("FACT", "p", "\u2028é\U0001f600\ufeff"),
    Draft("FACT", "p", "the last"),
]
SCRAPS = [
    *(b"\n", b"\n\n", b"\r", b"---", b"---\n", b"\n---\n", b"\n\n---\n", START, START + b" x\n"),
    *(b"\n\n" + RECORD, b"\n\n" + RECORD[:-9], START + b" [\n---\n", START + b" a\nmeta: &m [*m]\n---\n"),
    *(b"\n[2026-11-21 03:14:15] FACT: x\n", b"content_length: 99999\n", b"\0" * 512, b"\xff\xfe", b"\xef\xbb\xbf"),
    *(b"{" * 99, b"-" * 999, b"\\" * 99 + b"---\n", b"\n  idempotency_key: k\n"),
    b"\nmsg_id: " + FORGED.encode() + b"\n",
]

"""What verbs take and give as JSON, each declared once: for ``run-agent schema``, OpenAPI and the tests.

contract  what a contract is, and the table of those of today's verbs
messages  the shape of a message, and of the JSON that posts one
requests  the bodies of REST requests that do not post
words     short names for JSON Schema

Everything here is plain data (JSON Schema, draft 2020-12) and needs the standard library only.
"""

"""The ``run-agent`` program, over the public names of ``messagebus``.

cli/         the command line: verbs, options, output, exit codes
server/      REST and server-sent events over the buses of a root
web/         the page that the server serves, as a browser loads it (mapped in its app.js)
contracts/   what verbs take and give as JSON, each declared once
strict_json  the JSON that ``post --jsonl`` and REST accept
"""

"""The ``run-agent`` program, over the public names of ``messagebus``.

cli          the table of verbs, and the one place an error becomes an exit code
context      flags, environment, inference: which bus, which project
output       text and JSON lines; the only writer of stdout
rows         text cut to the rows of a terminal
streams      standard input, output and error, whatever is at their other ends
interpreter  what variables and process 1 would change, made the same everywhere
strict_json  the JSON that --jsonl and REST take
commands     one file a verb
"""

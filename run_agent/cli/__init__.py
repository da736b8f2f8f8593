"""The command line: ``run-agent``.

main          the table of verbs, and the one place where an error becomes an exit code
commands/     one file a verb
context       which bus and which project: flags, environment, inference
options       options that several verbs take
moments       what --since and --until name: a message or a time
output        text and JSON lines; the only writer of stdout
wrapping      text wrapped to the width of a terminal
jsonl         reading and posting the JSON lines of ``post --jsonl``
streams       standard input, output and error that lose no bytes
interpreter   the interpreter, set up the same whatever its environment
help          the layout of ``--help``
errors        errors with exit code 6
merge_driver  installing the merge driver in a git repository
"""

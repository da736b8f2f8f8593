"""The command line: ``run-agent``.

main          the table of verbs, and the one place where an error becomes an exit code
commands/     one file a verb
context       which bus and which project: flags, environment, inference
options       options that several verbs take
output        text and JSON lines; the only writer of stdout
rows          text wrapped to the width of a terminal
json_lines    the lines of ``post --jsonl``
streams       standard input, output and error, whatever is at their other ends
interpreter   what variables and process 1 would change, made the same everywhere
help          how help is laid out
errors        what a verb refuses
merge_driver  the merge driver in a git repository
"""

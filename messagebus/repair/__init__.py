"""What is damaged in a log, and repairing it without losing a word (docs/checks.md).

check       looks a log over
findings    what it can find: codes, and what they say
repair      writes damaged files anew, under the lock
joined      records in the text of another, for want of a blank line
rewrite     the spans of damaged files as one file that is not
scan_files  the files of a log, span by span
"""

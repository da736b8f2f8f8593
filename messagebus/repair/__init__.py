"""Finding what is damaged in a log, and repairing it without losing a word (docs/checks.md).

check       checks a log: every file, span by span
findings    what a check can find: the codes, and their texts
id_order    ids that are out of order or occur twice
joined      records in the body of another, because the blank line between them is missing
repair      repairs damaged files, under the lock
originals   replaces a damaged file, and keeps the original
rewrite     turns the spans of damaged files into the records of a sound one
records     the bytes of the records that a repair adds or marks
scan_files  reads the files of a log as spans

Format and contract say "mended" where this package says "repaired", and keep doing so: the key ``mended`` in
``meta`` and the type ``MENDED`` (SPEC.md section 10), file names ending in ``.mending``, and the field
``mended`` of ``bus check --fix --json``.
"""

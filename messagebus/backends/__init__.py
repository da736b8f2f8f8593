"""Where messages are stored: one module or folder a backend.

base    what a backend must do
memory  the reference backend, in memory
file/   the default one: a Markdown file, its lock, and its archives
"""

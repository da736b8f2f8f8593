"""One file a verb; none imports another.

bus_post      store a message, or one for each JSON line
bus_read      show messages, and follow
bus_discover  which bus is used from here, and why
bus_check     find what is damaged, and repair it
bus_merge     two versions of a bus made one, for git
serve         REST, server-sent events and a page over all buses of a root
schema        what a verb takes and gives as JSON
completion    the script that makes a shell complete verbs and options
"""

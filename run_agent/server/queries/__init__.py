"""Questions about a bus that take more than a cursor.

message_index  what a bus holds, without the bodies, in memory
listing        pages of a log, from either end, of the messages that match
stats          a bus in numbers
activity       all buses at a glance, and unread counts
"""

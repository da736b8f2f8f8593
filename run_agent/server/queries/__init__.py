"""Queries that need more than a cursor.

message_index  what a bus holds, without the bodies, in memory
listing        result pages of matching messages, from either end of a log
stats          a bus in numbers
activity       all buses at a glance, and unread counts
"""

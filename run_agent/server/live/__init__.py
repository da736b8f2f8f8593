"""What moves while clients are connected.

feed         one follower of a bus for all of its streams
stream       server-sent events: history from the file, then the feed
write_queue  the posts to one bus, appended in groups
"""

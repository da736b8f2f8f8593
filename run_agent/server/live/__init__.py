"""Posts and streams: what runs while clients are connected.

feed         one reader of a bus for all of its streams
stream       server-sent events: missed messages from the file, then new ones from the feed
write_queue  posts to one bus, appended in groups
"""

"""What every request passes, from the outside in.

limits       a connection: how many there may be, and how long a request may take to arrive
request_log  request ids, the log of requests, security headers, unforeseen errors
access       who gets in: API key, Host, Origin, ambiguous paths
"""

"""What every request passes through, from the outside in.

limits            a connection: how many there may be, and how long a request may take to arrive
request_log       request ids, the request log, responses to unexpected errors
security_headers  the headers that every response has
access            who gets in: API key, Host, Origin, ambiguous paths
"""

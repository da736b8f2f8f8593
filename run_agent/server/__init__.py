"""REST, SSE and a page over the buses under one root, on the library's public names.

    app        the routes put together: ``create_app``
    access     who gets in: key, Host, Origin, paths that mean something else than they say
    journal    request ids, the log of requests, errors nobody foresaw
    connection limits on connections: how many, and how long a request may take to come
    problems   errors as answers: codes, statuses, the JSON around them
    tree       ids to buses: the root, its projects and tasks
    asked      what a request asks for: query parameters and JSON bodies, checked
    messages   listing, posting, projects
    outline    what a bus holds, without the bodies, in memory
    search     pages of a log, from either end, of what fits
    summary    a bus in numbers
    activity   all buses at a glance, and what is unread
    conductor  projects and tasks, as the web UI of the Go project asks for them
    conditional answers that a client holds already, not sent again
    writing    the posts to a bus, one after another
    feed       one reading of a bus for all its streams
    stream     server-sent events: history, then the feed
    session    the cookie that stands for the key in a browser
    page       the files of the page (run_agent/page), and the rules they run under
    openapi    the description that /openapi.json gives
    schemas    the shapes in it

Nothing here knows click or the environment. docs/server.md is the manual, docs/security.md says
against whom it is built.
"""

from run_agent.server.app import create_app

__all__ = ["create_app"]

"""REST, server-sent events and a web page over the buses under one root, on the library's public names.

    app            the routes and the middleware put together: ``create_app``
    runner         a socket, uvicorn, the log, and an orderly shutdown
    endpoints      what answers once: lists, posts, projects
    params         query parameters and JSON bodies, checked before anything is done
    serialization  JSON documents and server-sent events, as bytes
    errors         errors as answers: codes, statuses, the JSON around them
    openapi        the description that /openapi.json gives
    schemas        the shapes that it describes
    conditional    conditional requests (RFC 9110): what If-None-Match means
    conductor      what the web UI of the Go project asks for
    static_files   the files of the web page (run_agent/web), and the rules that they run under
    buses          ids to buses: the root, its projects and tasks
    login          the cookie that a browser gets for the API key
    middleware/    who gets in, the request log, limits on connections
    live/          the posts to a bus, one after another, and the streams that deliver what comes
    queries/       what a bus holds: pages of it, numbers, all buses at a glance

Nothing here imports click or reads the environment. docs/server.md is the manual, docs/security.md the
threat model.
"""

from run_agent.server.app import create_app

__all__ = ["create_app"]

"""REST, server-sent events and a web page for the buses under one root, over the public names of the library.

    app            the application: its routes, its middleware, and how errors become responses
    runner         a socket, uvicorn, the log, and an orderly shutdown
    endpoints      the endpoints with a single response: messages, posts, lists of buses
    params         query parameters and JSON bodies, validated
    serialization  JSON documents and server-sent events, as bytes
    errors         errors as HTTP responses: codes, statuses, JSON
    openapi        the OpenAPI document
    schemas        the schemas in it
    conditional    conditional requests (RFC 9110): If-None-Match
    conductor      endpoints for the web UI of the Go project
    static_files   the files of the web page (run_agent/web), and the policy that they run under
    buses          ids to buses: the root, its projects and tasks
    bus_tree       the directories under the root, listed again when they change
    login          the cookie that a browser gets in exchange for the API key
    middleware/    access control, the request log, limits on connections
    live/          posts to a bus, and the streams that deliver new messages
    queries/       result pages, numbers, all buses at a glance

Nothing here imports click or reads the environment. docs/server.md is the manual, docs/security.md the
threat model.
"""

from run_agent.server.app import create_app

__all__ = ["create_app"]

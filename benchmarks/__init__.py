"""Speed and memory of the bus beside its peers: ``python -m benchmarks`` (docs/performance.md).

    context          what a benchmark is given: sizes, directories, cached logs
    measure          interleaved rounds, medians, spreads
    table            a row, and how rows are shown
    baselines        the bus, SQLite and raw loops, side by side
    baseline_server  a bare streaming server, to compare ours with
    writers          writer processes
    listeners        clients of streams
    cli              starting ``run-agent``

One module a subject, each giving its rows:

    append        writing, by one writer and by several
    alternatives  what one might use instead, side by side
    read      whole logs, cursors, tails
    check     looking a log over
    follow    from a post to its follower
    memory    what readers and writers take
    commands  whole commands of the program
    server    REST and streams
    page      the page, in a browser

Machines are shared and noisy, so a ratio is never made of two runs: the sides take turns
(A B A B ...), each round gives one ratio, and a row shows the median and the extremes.
"""

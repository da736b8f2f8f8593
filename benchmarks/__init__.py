"""Speed and memory of the bus beside baselines: ``python -m benchmarks`` (docs/performance.md).

    corpus           messages as agents write them, from a seed, and plain ones
    context          what each benchmark gets: sizes, directories, cached logs
    measure          interleaved rounds, medians, spreads
    table            a row, and the table as text and Markdown
    baselines        the bus, SQLite and raw loops, side by side
    baseline_server  a bare streaming server, the baseline of the server
    writers          processes that append at the same time
    listeners        many clients of streams in one process
    cli              starting ``run-agent``

One module for each subject, which returns its rows:

    append        writing, by one writer and by several
    alternatives  what else one could use, side by side
    read          whole logs, cursors, tails
    archives      logs of many archives
    keys          posts with idempotency keys
    check         checking a log
    follow        from a post to its follower
    memory        what reading a log takes
    commands      whole commands of the program
    server        REST and streams
    many_buses    lists of thousands of buses
    page          the page, in a browser

Machines are shared and noisy, so a ratio never compares two runs: the sides take turns
(A B A B ...), each round gives one ratio, and a row shows the median, the lowest and the highest.
"""

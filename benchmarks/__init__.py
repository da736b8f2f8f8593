"""Speed and memory of the bus beside its peers: ``python -m benchmarks`` (docs/performance.md).

    __main__    options, and running what they choose     table     a row, and how rows are shown
    measure     interleaved rounds, medians, spreads      bench     sizes, directories, cached logs
    peers       the bus, SQLite and raw loops, side by side
    crew        writer processes                          program   starting ``run-agent``
    append  read  memory  follow  commands                the rows, by subject

Machines are shared and noisy, so a ratio is never made of two runs: the sides take turns
(A B A B ...), each round gives one ratio, and a row shows the median and the extremes.
"""

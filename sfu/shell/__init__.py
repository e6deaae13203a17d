"""The Trio shell: everything that may use Trio, sockets or the clock. It is thin; the other packages decide.

`server` is where to start: the root nursery and what it owns.
"""

"""What is kept of sessions in Redis, without Redis: keys, values, scripts, and what is yet to be written.

`sfu.state.keys` names the keys, `sfu.state.codec` writes and reads the values, `sfu.state.scripts` has what
runs inside Redis, `sfu.state.backlog` knows what Redis should hold and does not yet. docs/state.md tells it
as a whole.
"""

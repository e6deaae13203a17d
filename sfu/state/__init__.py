"""What Redis holds of sessions: key names, values, scripts, and the changes that are still to be written.

This package does not talk to Redis. `sfu.state.keys` names the keys, `sfu.state.codec` writes and reads the
values, `sfu.state.scripts` has the scripts that run inside Redis, and `sfu.state.backlog` knows what Redis
should hold and does not hold yet. docs/state.md explains the whole.
"""

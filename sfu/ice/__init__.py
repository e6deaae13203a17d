"""ICE (RFC 8445) for a server on a public address: STUN messages, candidates and the lite agent.

Nothing here touches a socket or a clock. Start reading at `sfu.ice.agent`, the state machine; the bytes
it exchanges are in `sfu.ice.stun`.
"""

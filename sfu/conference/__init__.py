"""Rooms, peers, tracks and who hears whom: the decisions of the SFU, without any I/O."""

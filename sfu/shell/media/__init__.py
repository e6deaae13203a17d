"""Media on the wire: the UDP socket, ICE-TCP connections, and the addresses that the server announces."""

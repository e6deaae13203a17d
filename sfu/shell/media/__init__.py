"""Media in and out: the UDP socket, TCP connections (ICE-TCP), and the addresses in our candidates."""

"""trio-sfu: a WebRTC selective forwarding unit on Trio structured concurrency."""

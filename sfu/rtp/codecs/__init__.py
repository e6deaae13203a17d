"""What a forwarder reads at the front of each codec's RTP payloads: a file per codec. Nothing is decoded."""

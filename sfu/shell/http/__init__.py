"""The public TCP port: HTTP/1.1, the page, health checks, and WebSocket upgrades."""

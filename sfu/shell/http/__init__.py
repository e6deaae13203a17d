"""HTTP/1.1: the public TCP port with the page, health checks and WebSockets; and fetching a document."""

"""Join tokens: verifying and making them, and reading the public keys that verify them."""

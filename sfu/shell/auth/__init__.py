"""Join tokens: verifying and issuing them, and fetching the public keys that sign them."""

"""Settings: the table of them, their value types, and where their values come from."""

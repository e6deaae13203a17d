"""Settings: their table, their types, and where their values come from."""

"""Worker processes and beat: drains that answer bells, and what they survive."""

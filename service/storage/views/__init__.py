"""Read-only questions for the API, the console, the command and the gauges; one file per noun.

They answer with the objects of the contract as plain dicts, ready for JSON. Lists walk an index,
newest first, and go on from the position of the last row, never from an offset.
Source: CONTRACT.md, section 6.
"""

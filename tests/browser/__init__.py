"""The console in a real browser: `python -m tests.browser [FOLDER]`.

Needs the extra `browser` and Debian's package chromium.
"""

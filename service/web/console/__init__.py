"""The operator's pages at /console: what the views show, and what `flow.intervene` lets one do.

Every page reads without JavaScript; htmx only refreshes what changes by itself. One file per group
of pages; `page.py` holds what all share: who may come in, the form token, the headers.
"""

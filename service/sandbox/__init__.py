"""A second world: fake providers and a fake ERP, written from the fact sheets alone.

It shares no code with what it tests. It records movements of money and derives every provider
word from them, so that its own ledger can say what the truth was.
"""

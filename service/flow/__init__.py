"""The use cases. Everything they touch comes in as arguments; they do not know who calls them."""

"""A fake Ginger: orders with their attempts, refunds and captures. Source: fact sheet ginger."""

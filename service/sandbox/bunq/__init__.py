"""A fake bunq: request inquiries, the payments behind them, callbacks. Source: fact sheet bunq."""

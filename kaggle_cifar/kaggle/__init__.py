"""Calls of Kaggle's API through the kaggle client: credentials, timeouts, retries, plain errors.

`client.open_client` returns the client and `client.call` calls it. `transfer` moves files by signed
links. Nothing is left on disk but what the caller asked for.
"""

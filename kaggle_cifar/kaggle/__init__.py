"""Calls of Kaggle's API through the kaggle client, with timeouts, retries and plain errors.

`client.open_client` returns the client, `client.call` calls it, and `signed_links` downloads and
uploads files. On disk it leaves only the files that the caller asked for.
"""

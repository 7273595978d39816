"""The kaggle client, opened safely: its credentials, its calls, its errors as sentences."""

"""What this machine computes on: what its drivers list, and what TensorFlow can use of it.

Takes nothing, gives findings as text, and keeps the result of a slow check in the user's home.
"""

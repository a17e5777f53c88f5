"""Explanations that are computed in this process: for Python, and for `picasso explain`."""

"""One module for each library, with `NAME`, `open_network(path)` and `METHODS`: by name, what makes a job of a case."""

"""The larger commands of `picasso`, a module each, and what they share. `picasso.cli` puts them together."""

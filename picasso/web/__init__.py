"""Pages: one blueprint."""

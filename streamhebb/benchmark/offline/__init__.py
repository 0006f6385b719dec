"""The published kind of run: layers without labels, features once, a linear probe."""

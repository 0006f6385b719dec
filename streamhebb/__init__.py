"""Networks that never stop learning."""

"""Benchmarks, each a command: ``streamhebb bench NAME``. Never part of the tests."""

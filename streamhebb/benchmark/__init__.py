"""Benchmarks, each a command: ``streamhebb bench NAME``. Never timed in the tests."""

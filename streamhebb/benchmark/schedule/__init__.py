"""What schedulers gain and cost, each a command: ``streamhebb bench schedule NAME``."""

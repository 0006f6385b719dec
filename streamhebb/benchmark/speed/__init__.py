"""How fast a learning step is: beside the published step written plainly, and beside products."""

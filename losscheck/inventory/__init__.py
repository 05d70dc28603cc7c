"""What there is here: versions, devices, losses, how backends treat subnormals."""

"""What is promised about speed and memory, measured through the public face. `make bench` runs all of it."""

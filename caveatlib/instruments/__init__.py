"""What loads and watches a place: traffic, published ports, registries."""

"""Makes labelled captures out of real programs in network namespaces of its own."""

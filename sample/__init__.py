"""The built-in sample: an invented coffee brand, the public sites that talk about it, and its customers."""

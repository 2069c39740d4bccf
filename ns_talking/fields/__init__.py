"""Fields: position, direction and condition in, density and colour out."""

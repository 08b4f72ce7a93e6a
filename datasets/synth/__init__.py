"""How the synthetic catalog is drawn: colours, patterns, materials, shapes, light, grounds, scenes."""

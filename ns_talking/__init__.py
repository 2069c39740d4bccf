"""ns-talking: talking portraits for Nerfstudio."""

"""CPU twins of the operations in `ns_talking.kernels`: same file, same name, same signature."""

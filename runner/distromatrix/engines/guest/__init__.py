"""What guests of both kinds share: acceleration, disks, kernels, the machine in them."""

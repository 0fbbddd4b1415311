"""What a node tells: sysfs, netlink, ethtool, PCI, the host and its processes, each read so that it may fail alone."""

"""The engines that Lucy ships: ways to deploy and control a network of nodes."""

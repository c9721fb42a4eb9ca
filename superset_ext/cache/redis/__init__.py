"""The Redis edge: servers, connections, the circuit."""

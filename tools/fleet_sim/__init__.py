"""A fleet of simulated gateways on loopback: what a web server and a controller make of it."""

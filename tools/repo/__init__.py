"""The server side of model sync: signs and publishes a repository that any web server can carry."""

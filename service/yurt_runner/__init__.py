"""What runs inside a container: a supervisor with the session, and a worker with the user code."""

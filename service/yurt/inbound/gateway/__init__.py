"""The door for the public: requests to functions that answer HTTP, handed on to their containers."""

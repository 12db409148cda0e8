"""What can be measured, a row each: a function from a `Bench` to figures."""

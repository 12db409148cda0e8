"""What runs inside a container: a supervisor with the session, and a worker with the user code.

User code may import from here `current` and `current_batch`, which tell what it works on, and the two exceptions by
which an input is ended early.
"""

from yurt_runner.context import InputCancelled, InputContext, InputInterrupted, InputTimeout, current, current_batch

__all__ = ["InputCancelled", "InputContext", "InputInterrupted", "InputTimeout", "current", "current_batch"]

"""Small programs in the place of the runner, so that an engine is tested without it.

Each reads the line that every runner is given, and leaves notes for the test in a folder: `<container>.<name>`.
"""

import io
import zipfile
from pathlib import Path

_PRELUDE = """
import json, os, signal, subprocess, sys, time
line = os.environ.get("YURT_START")
told = json.loads(sys.stdin.readline() if line is None else line)
told["rest"] = sys.stdin.read() if line is None else ""
if "token_file" in told:
    told["start_token"] = open(told.pop("token_file")).read().strip()

def note(name, content=""):
    path = os.path.join(board, told["container_id"] + "." + name)
    with open(path + ".new", "w") as file:
        file.write(str(content))
    os.rename(path + ".new", path)

def leave(number, frame):
    note("asked-to-leave")
    sys.exit(0)

def forever():
    while True:
        signal.pause()
"""

OBEDIENT = """
signal.signal(signal.SIGTERM, leave)
note("told", json.dumps(told))
note("facts", json.dumps({"pid": os.getpid(), "environ": dict(os.environ), "argv": sys.argv, "cwd": os.getcwd(),
    "uid": os.getuid(), "groups": os.getgroups(), "umask": os.umask(0)}))
note("alive")
forever()
"""

STUBBORN = """
signal.signal(signal.SIGTERM, lambda number, frame: note("asked-to-leave"))
note("alive")
forever()
"""

CRASHING = """
print("no such option", file=sys.stderr, flush=True)
sys.exit(3)
"""

SEGFAULTING = "os.kill(os.getpid(), signal.SIGSEGV)"

_CHILDREN = """
children = [
    subprocess.Popen(["sleep", "300"]),
    subprocess.Popen(["sleep", "300"], start_new_session=True),
    subprocess.Popen(["sleep", "300"], env={}),
]
note("children", json.dumps([child.pid for child in children]))
"""

STUBBORN_WITH_A_WORKER = """
worker = '''
import ctypes, json, subprocess, sys, time
ctypes.CDLL(None).prctl(1, 9)  # the kernel kills the worker with the runner, as the real one's pipe does
child = subprocess.Popen(["sleep", "300"], env={})
open(sys.argv[1] + ".new", "w").write(json.dumps([child.pid]))
__import__("os").rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(300)
'''
path = os.path.join(board, told["container_id"] + ".children")
subprocess.Popen([sys.executable, "-c", worker, path], start_new_session=True)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
forever()
"""

CRASHING_WITH_CHILDREN = _CHILDREN + "sys.exit(1)"

STUBBORN_WITH_CHILDREN = _CHILDREN + STUBBORN

MESSY = """
os.makedirs("closed/inner")
open("closed/inner/file", "w").close()
os.symlink("/etc", "link")
os.chmod("closed/inner", 0o500)
os.chmod("closed", 0o500)
note("alive")
forever()
"""


def packed(program: str, board: Path | None = None) -> bytes:
    """A program as one file that Python can run.

    Args:
        board: the folder of its notes; None if the `url` that it is told is that.
    """
    where = "told['url']" if board is None else repr(str(board))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("__main__.py", f"{_PRELUDE}\nboard = {where}\n{program}")
    return buffer.getvalue()

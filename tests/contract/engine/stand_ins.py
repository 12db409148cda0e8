"""Small programs in the place of the runner, so that an engine is tested without it.

Each reads the line that every runner is given. Its `url` is a folder here, in which a program leaves notes for the
test: `<container>.<name>`.
"""

import io
import zipfile

_PRELUDE = """
import json, os, signal, subprocess, sys, time
told = json.loads(sys.stdin.readline())
told["rest"] = sys.stdin.read()

def note(name, content=""):
    path = os.path.join(told["url"], told["container_id"] + "." + name)
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
path = os.path.join(told["url"], told["container_id"] + ".children")
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


def packed(program: str) -> bytes:
    """A program as one file that Python can run."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("__main__.py", _PRELUDE + program)
    return buffer.getvalue()

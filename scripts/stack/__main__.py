"""The command `scripts/hashistack`."""

import os
import shlex
import sys
from pathlib import Path

import click

from scripts.stack.access import token_files
from scripts.stack.gpus import Gpus, parse_gpus
from scripts.stack.http import Refused
from scripts.stack.plan import FIRST_PORT, PORTS, USUAL_NODES, Plan
from scripts.stack.programs import CONSUL, NOMAD, Unobtainable, cache_folder, obtain
from scripts.stack.stack import Failed, Stack, say


class GpusOfNode(click.ParamType[tuple[Gpus, ...]]):
    """The GPUs of a node, as a person writes them."""

    name = "gpus"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Gpus, ...]:
        """Read them."""
        try:
            return parse_gpus(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def usual_home() -> Path:
    """Where a stack is unless another folder is chosen: where root's tasks of other users reach it, too."""
    if os.getuid() == 0:
        return Path("/var/lib/hashistack")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "yurt" / "hashistack"


def _home(path: Path | None) -> Path:
    return (path or usual_home()).expanduser().absolute()


def _the_stack(path: Path | None) -> Stack:
    stack = Stack.found(_home(path))
    if stack is None:
        raise click.ClickException(f"no stack is in {_home(path)}; start one with: scripts/hashistack up")
    return stack


folder = click.option(
    "--dir",
    "path",
    type=click.Path(path_type=Path),
    help="Folder of the stack; /var/lib/hashistack for root, else $XDG_STATE_HOME/yurt/hashistack, if not given.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Consul, a Nomad server and Nomad nodes with simulated GPUs, on this machine's loopback."""


@main.command()
@folder
@click.option(
    "--first-port", type=int, default=None, help=f"First of {PORTS} ports in a row; {FIRST_PORT} if not given."
)
@click.option(
    "--node",
    "nodes",
    type=GpusOfNode(),
    multiple=True,
    help=f"A node with these GPUs, such as h100:2,t4:2, or none; once for each node. {USUAL_NODES[0]} if not given.",
)
def up(path: Path | None, first_port: int | None, nodes: tuple[tuple[Gpus, ...], ...]) -> None:
    """Start what does not run yet; return when all of it works."""
    stack = Stack.found(_home(path))
    if stack is None:
        usual = Plan(home=_home(path))
        stack = Stack(Plan(home=usual.home, first_port=first_port or usual.first_port, nodes=nodes or usual.nodes))
    elif first_port not in {None, stack.plan.first_port} or (nodes and nodes != stack.plan.nodes):
        raise click.ClickException(f"the stack in {stack.home} has other ports or nodes. End it first, or choose --dir")
    stack.up(cache_folder())
    say(f"Nomad  {stack.plan.nomad_address}/ui   (token: {stack.home}/management.token)")
    say(f"Consul {stack.plan.consul_address}/ui   (token: {token_files(stack.home)['management']})")
    say('To use it: eval "$(scripts/hashistack env)"')


@main.command()
@folder
def down(path: Path | None) -> None:
    """End it, and remove everything that it wrote."""
    stack = Stack.found(_home(path))
    if stack is None:
        say(f"no stack is in {_home(path)}")
        return
    stack.down()


@main.command()
@folder
def status(path: Path | None) -> None:
    """Say what runs; exit code 1 unless all of it does."""
    stack = _the_stack(path)
    running = stack.running()
    for role in stack.roles():
        print(f"{role:14} {f'runs, process {running[role]}' if role in running else 'does not run'}")
    sys.exit(len(running) != len(stack.roles()))


@main.command()
@folder
def env(path: Path | None) -> None:
    """Print the variables that make the commands of Nomad, Consul and Yurt use it, for eval."""
    for name, value in _the_stack(path).environment().items():
        quoted = shlex.quote(value)
        print(f"export {name}={quoted if quoted != value else repr(value)}")


@main.command(name="obtain")
def obtain_programs() -> None:
    """Find, download or build the programs, and print where they are."""
    for program in (CONSUL, NOMAD):
        print(obtain(program, say, cache_folder()))


if __name__ == "__main__":
    try:
        main()
    except (Failed, Unobtainable, Refused, TimeoutError, ValueError) as error:
        sys.exit(f"hashistack: {error}")

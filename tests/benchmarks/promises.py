"""Promises that no table shows: nothing stale, nothing lost."""

import http.client
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from tests import servers
from tests.benchmarks import load
from tests.benchmarks.load import Request
from tests.benchmarks.stage import GATE, Ground
from tests.benchmarks.tables import Finding

_KEYS, _CONNECTIONS, _WORKERS = 1_000, 8, 2


def stale_verdicts(cycles: int, postgres: str | None) -> list[Finding]:
    """Revoke and restore keys under load; ask every worker right after each commit."""
    with ExitStack() as stack:
        ground = Ground(stack, _KEYS, postgres=postgres).fill()
        port = _portal(stack, ground)
        command = [sys.executable, "-m", "tests.benchmarks.promises"]
        arguments = [str(ground.folder), str(port), str(cycles)]
        asked = subprocess.run(  # noqa: S603
            [*command, *arguments],
            cwd=servers.ROOT,
            env=ground.env,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    stale, verdicts = map(int, asked.stdout.split())
    promise = f"stale verdicts in {cycles:,} revocations under load ({ground.engine})"
    return [Finding(promise, f"{stale} of {verdicts:,}", stale == 0)]


def killed_servers(runs: int, postgres: str | None) -> list[Finding]:
    """Kill every process of a server under load; hold what was answered against what counts."""
    kept, worst = 0, ""
    with ExitStack() as stack:
        ground = Ground(stack, _KEYS, postgres=postgres).fill()
        total = _counted(ground)
        for _run in range(runs):
            answered = _answered(ground)
            before, total = total, _counted(ground)
            counted = total - before
            if answered <= counted <= answered + _CONNECTIONS:
                kept += 1
            else:
                worst = f"; {answered:,} answered, {counted:,} counted"
    promise = f"kill -9 under load: counted is answered, but for those in flight ({ground.engine})"
    return [Finding(promise, f"{kept} of {runs} runs{worst}", kept == runs)]


def _answered(ground: Ground) -> int:
    """Kill a portal under load; return how many answers it gave until then."""
    port = servers.free_port()
    with servers.running(
        servers.granian(GATE, port, _WORKERS),
        port=port,
        directory=ground.folder,
        env=ground.env,
    ) as portal:
        request = Request(ground.keys("hot"), "/v1/auth?scope=READ")
        wrk = load.start(request, port, 3, connections=_CONNECTIONS, processor=None)
        time.sleep(2)
        os.killpg(portal.pid, signal.SIGKILL)
        return load.result(wrk).requests


def _counted(ground: Ground) -> int:
    program = (
        "import django; django.setup()\n"
        "from django.core.management import call_command\n"
        "from django.db.models import Sum\n"
        "from keys.models import UsageBucket\n"
        "import io; call_command('fold_usage', stdout=io.StringIO())\n"
        "print(UsageBucket.objects.aggregate(n=Sum('requests'))['n'] or 0)"
    )
    said = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program],
        cwd=servers.ROOT,
        env=ground.env,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(said.stdout)


def _portal(stack: ExitStack, ground: Ground) -> int:
    port = servers.free_port()
    command = servers.granian(GATE, port, _WORKERS)
    stack.enter_context(
        servers.running(command, port=port, directory=ground.folder, env=ground.env)
    )
    return port


def _revoke_and_ask(folder: Path, port: int, cycles: int) -> None:
    """Print how many verdicts were stale, and how many there were."""
    import django

    django.setup()
    from keys import services
    from keys.models import APIKey
    from keys.policy import OPERATOR

    secrets = (folder / "hot").read_text().split()
    # Before them there is the key of whoever asks.
    keys = list(APIKey.objects.order_by("pk")[1 : len(secrets) + 1])
    # Enough of them that each worker has some.
    connections = [http.client.HTTPConnection("127.0.0.1", port) for _each in range(4)]
    request = Request(folder / "good", "/v1/auth?scope=READ", is_good=False)
    wrk = load.start(request, port, 3600, connections=2, processor=None)
    stale = 0
    try:
        for cycle in range(cycles):
            number = cycle % len(keys)
            # Once through the services, which say what they change, once past them.
            services.disable_key(actor=OPERATOR, key=keys[number])
            stale += _otherwise(connections, secrets[number], 401)
            APIKey.objects.filter(pk=keys[number].pk).update(disabled=False)
            stale += _otherwise(connections, secrets[number], 204)
    finally:
        wrk.kill()
        wrk.wait()
    sys.stdout.write(f"{stale} {2 * cycles * len(connections)}\n")


def _otherwise(connections: list[http.client.HTTPConnection], secret: str, status: int) -> int:
    """Ask over each connection; return how often the status was another."""
    count = 0
    for connection in connections:
        connection.request("GET", "/v1/auth?scope=READ", headers={"X-API-Key": secret})
        answer = connection.getresponse()
        answer.read()
        count += answer.status != status
    return count


if __name__ == "__main__":
    _revoke_and_ask(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

"""nginx processes that take over from one another without losing a request.

nginx's own reload closes idle connections, and a client that is just sending a request on one of
them loses it. So every configuration gets an nginx of its own, a generation:

1. The listening sockets are opened once, here, and every generation inherits them.
2. A new generation is tested and started, and answers beside the one before.
3. A file tells the old one that it is to go. From then on it hands each request to the new one,
   through a Unix socket, and the answer tells the client to connect anew. A new configuration
   therefore holds for every request that comes after the switch.
4. Idle connections of the old one end by the time-out that every answer has announced. Then
   nobody is connected but those who still wait for an answer, and it is told to finish.
   (HTTP/2 clients are told by GOAWAY, which says what to send again elsewhere.)
"""

import logging
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from serving.local.binaries import binary
from serving.router.errors import RouterError
from serving.router.settings import Settings, host_and_port

logger = logging.getLogger(__name__)

_START = 10.0
_SOCKETS = ("http.sock", "grpc.sock")


class Generation:
    """One nginx, master and workers, with one configuration."""

    def __init__(self, number: int, home: Path, process: subprocess.Popen[bytes], text: str):
        self.number = number
        self.home = home
        self.process = process
        self.text = text
        self.leaves: float | None = None
        self.told = False

    @property
    def running(self) -> bool:
        """Whether its master runs."""
        return self.process.poll() is None

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to the master."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    def tell_all(self, number: signal.Signals) -> None:
        """Send a signal to the master and its workers, also to those that outlived it."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def hand_over(self, successor: "Generation") -> None:
        """Have it pass every further request on."""
        for name in _SOCKETS:
            aside = self.home / f".next-{name}"
            aside.unlink(missing_ok=True)
            aside.symlink_to(Path("..") / str(successor.number) / name)
            aside.replace(self.home / f"next-{name}")
        (self.home / "drain").touch()


class Nginx:
    """The generations that run; not thread-safe, one thread drives it."""

    def __init__(self, settings: Settings):
        """Open the listening sockets.

        Raises:
            RouterError: an address cannot be listened on, or nginx is missing.
        """
        self._program = binary("nginx")
        self._state = settings.state.resolve()
        self._idle = settings.keepalive
        for name in ("tmp", "gen", "exposures"):
            (self._state / name).mkdir(parents=True, exist_ok=True)
        patience = 5.0 if self._end_orphans() else 0.0
        addresses = [settings.listen, settings.grpc_listen]
        self._sockets = [_listen(address, patience) for address in addresses if address]
        self._all: list[Generation] = []
        self._number = 0

    @property
    def current(self) -> Generation | None:
        """The generation that answers."""
        newest = self._all[-1] if self._all else None
        return newest if newest and newest.leaves is None else None

    @property
    def running(self) -> list[Generation]:
        """Every generation that has not ended, the current one last."""
        return [generation for generation in self._all if generation.running]

    def switch(self, render: Callable[[int], str]) -> Generation:
        """Test and start a configuration, and have it take over.

        Args:
            render: makes the configuration's text from its generation's number.

        Raises:
            RouterError: nginx refuses it or does not start; what ran goes on.
        """
        self._number += 1
        number = self._number
        home = self._state / "gen" / str(number)
        home.mkdir()
        try:
            text = render(number)
            (home / "nginx.conf").write_text(text, encoding="utf-8")
            self._test(number)
            new = self._start(number, home, text)
        except BaseException:
            shutil.rmtree(home, ignore_errors=True)
            raise
        now = time.monotonic()
        for old in self._all:
            old.hand_over(new)
            old.leaves = now + self._idle + 2 if old.leaves is None else old.leaves
        self._all.append(new)
        logger.info("generation started number=%d pid=%d", number, new.process.pid)
        return new

    def look_after(self) -> None:
        """End generations whose time has come, and start the current one anew if it ended."""
        now = time.monotonic()
        for old in [g for g in self._all if g.leaves is not None]:
            if not old.running:
                old.tell_all(signal.SIGQUIT)
                shutil.rmtree(old.home, ignore_errors=True)
                self._all.remove(old)
                logger.info("generation ended number=%d", old.number)
            elif now >= (old.leaves or 0) and not old.told:
                old.told = True
                old.tell(signal.SIGQUIT)
        current = self.current
        if current is not None and not current.running:
            code = current.process.returncode
            logger.error("nginx ended by itself number=%d code=%d", current.number, code)
            current.tell_all(signal.SIGQUIT)
            mark = f"gen/{current.number}/"
            self.switch(lambda number: current.text.replace(mark, f"gen/{number}/"))

    def reopen_logs(self) -> None:
        """Have every generation open its log files anew."""
        for generation in self.running:
            generation.tell(signal.SIGUSR1)

    def holds(self, path: Path) -> bool:
        """Tell whether a generation still writes to a file (known on Linux only)."""
        wanted = str(path.resolve())
        for generation in self.running:
            master = generation.process.pid
            for pid in [master, *_children(master)]:
                with suppress(OSError):
                    for link in Path(f"/proc/{pid}/fd").iterdir():
                        with suppress(OSError):
                            if os.readlink(link) == wanted:
                                return True
        return False

    def stop(self, *, wait: float = 20) -> None:
        """Finish what is being answered, end every generation and close the sockets.

        Args:
            wait: seconds until what has not finished is cut off.
        """
        for listening in self._sockets:
            listening.close()
        for generation in self._all:
            generation.tell(signal.SIGQUIT)
        end = time.monotonic() + wait
        for generation in self._all:
            try:
                generation.process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                generation.tell_all(signal.SIGKILL)
                generation.process.wait()
            generation.tell_all(signal.SIGQUIT)
            shutil.rmtree(generation.home, ignore_errors=True)
        self._all = []

    def _test(self, number: int) -> None:
        command = self._command(number, "stderr")
        done = subprocess.run(
            [*command, "-t", "-q"], cwd=self._state, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RouterError(f"nginx refuses the configuration: {done.stderr.strip()[-1000:]}")

    def _start(self, number: int, home: Path, text: str) -> Generation:
        handed = [listening.fileno() for listening in self._sockets]
        process = subprocess.Popen(
            self._command(number, "error.log"),
            cwd=self._state,
            env={**os.environ, "NGINX": "".join(f"{fd};" for fd in handed)},
            pass_fds=handed,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        generation = Generation(number, home, process, text)
        end = time.monotonic() + _START
        while not _answers(self._state, f"gen/{number}/nginx.sock"):
            if not generation.running or time.monotonic() > end:
                generation.tell_all(signal.SIGKILL)
                process.wait()
                raise RouterError(f"nginx does not start, see {self._state / 'error.log'}")
            time.sleep(0.01)
        return generation

    def _command(self, number: int, log: str) -> list[str]:
        return [str(self._program), "-p", ".", "-c", f"gen/{number}/nginx.conf", "-e", log]

    def _end_orphans(self) -> bool:
        """End what a router that was killed left running, and clear its files."""
        ended = False
        for home in (self._state / "gen").iterdir():
            with suppress(OSError, ValueError):
                pid = int((home / "nginx.pid").read_text())
                if Path(f"/proc/{pid}/cwd").resolve() == self._state:
                    os.killpg(pid, signal.SIGQUIT)
                    ended = True
                    logger.warning("ended an nginx that was left running pid=%d", pid)
            shutil.rmtree(home, ignore_errors=True)
        return ended


def stub_status(state: Path, generation: Generation) -> str:
    """Read nginx's own counters of a generation.

    Raises:
        OSError: it does not answer.
    """
    return _ask(state, f"gen/{generation.number}/nginx.sock", "/stub_status")


def _listen(address: str, patience: float) -> socket.socket:
    host, port = host_and_port(address)
    end = time.monotonic() + patience
    while True:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            listening.listen(1024)
            # Generations share it: one that wakes for a connection another has taken must not wait.
            listening.setblocking(False)
        except OSError as error:
            listening.close()
            if time.monotonic() > end:
                raise RouterError(f"{address}: cannot be listened on: {error.strerror}") from error
            time.sleep(0.1)
        else:
            return listening


def _answers(state: Path, path: str) -> bool:
    try:
        return _ask(state, path, "/stub_status").startswith("Active")
    except OSError:
        return False


def _ask(state: Path, path: str, url: str) -> str:
    """GET over a Unix socket, whose path is kept short by going through the directory's handle."""
    folder = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(2)
            asking.connect(f"/proc/self/fd/{folder}/{path}")
            asking.sendall(f"GET {url} HTTP/1.0\r\n\r\n".encode())
            answer = b"".join(iter(lambda: asking.recv(65536), b""))
    finally:
        os.close(folder)
    return answer.partition(b"\r\n\r\n")[2].decode()


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(child) for child in text.split()]
    return []

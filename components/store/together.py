"""Questions of several threads that travel together."""

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Together(Generic[Question, Answer]):
    """Lets many threads ask one thing each, in as few exchanges as there can be.

    A thread that finds nobody asking asks at once. What others want to know meanwhile waits until
    the answer is there; then one of them asks for all. So nobody waits for company, and a busy
    server is asked less often, not more.
    """

    def __init__(self, ask: Callable[[list[Question]], list[Answer]]):
        """Take the function that asks several questions in one exchange."""
        self._ask_all = ask
        self._lock, self._asking = threading.Lock(), False
        self._waiting: list[_Waiting] = []

    def ask(self, question: Question) -> Answer:
        """Return the answer, or raise what asking raised."""
        mine = _Waiting(question)
        with self._lock:
            first, self._asking = not self._asking, True
            if not first:
                self._waiting.append(mine)
        if not first:
            mine.woken.acquire()
        if not mine.answered:
            self._ask_for_everyone(mine)
        if mine.error is not None:
            raise mine.error
        return mine.answer

    def _ask_for_everyone(self, mine: "_Waiting") -> None:
        with self._lock:
            everyone, self._waiting = [mine, *self._waiting], []
        try:
            answers = self._ask_all([one.question for one in everyone])
            for one, answer in zip(everyone, answers, strict=True):
                one.answer = answer
        except BaseException as error:  # whatever it was, nobody may be left waiting
            for one in everyone:
                one.error = error
        with self._lock:
            following = self._waiting.pop(0) if self._waiting else None
            self._asking = following is not None
        if following is not None:
            following.woken.release()
        for one in everyone:
            one.answered = True
            one.woken.release()


class _Waiting:
    __slots__ = ("question", "answer", "answered", "error", "woken")

    def __init__(self, question: Any):
        self.question, self.answered = question, False
        self.answer: Any = None
        self.error: BaseException | None = None
        self.woken = threading.Lock()
        self.woken.acquire()

"""Many threads' questions, few exchanges."""

import threading

import pytest

from components.store.together import Together


def test_questions_asked_meanwhile_travel_in_one_exchange():
    exchanges, started, go_on = [], threading.Event(), threading.Event()

    def ask(questions):
        exchanges.append(list(questions))
        started.set()
        assert go_on.wait(10)
        return [question * 10 for question in questions]

    together, answers = Together(ask), {}

    def caller(number):
        answers[number] = together.ask(number)

    threads = [threading.Thread(target=caller, args=(number,)) for number in range(20)]
    threads[0].start()
    started.wait(10)
    for thread in threads[1:]:
        thread.start()
    while len(together._waiting) < 19:
        threading.Event().wait(0.001)
    go_on.set()
    for thread in threads:
        thread.join()
    assert exchanges[0] == [0]
    assert sorted(exchanges[1]) == list(range(1, 20))
    assert answers == {number: number * 10 for number in range(20)}


def test_a_failure_reaches_everyone_who_asked_and_nobody_else():
    def ask(questions):
        if "bad" in questions:
            raise ValueError("no")
        return questions

    together = Together(ask)
    with pytest.raises(ValueError, match="no"):
        together.ask("bad")
    assert together.ask("good") == "good"


def test_every_question_is_answered_whatever_the_order():
    together, wrong = Together(lambda questions: [-question for question in questions]), []

    def call(seed):
        wrong.extend(one for one in range(seed, seed + 500) if together.ask(one) != -one)

    threads = [threading.Thread(target=call, args=(1000 * seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []

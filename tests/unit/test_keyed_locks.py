"""Locks by name: who waits, who does not."""

import threading

from openami.jobs.locks import KeyedLocks


def test_a_lock_that_another_thread_holds_is_not_waited_for_if_only_a_free_one_is_wanted() -> None:
    locks = KeyedLocks()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with locks("disk"):
            held.set()
            assert done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    with locks.if_free("disk") as is_held, locks.if_free("other") as other_is_held:
        assert (is_held, other_is_held) == (False, True)
    done.set()
    thread.join()
    with locks.if_free("disk") as is_held, locks.if_free("disk") as again:
        assert (is_held, again) == (True, True), "by the same thread"


def test_a_free_lock_keeps_others_out_while_it_is_held() -> None:
    locks, order = KeyedLocks(), list[str]()

    def come_later() -> None:
        with locks("disk"):
            order.append("later")

    thread = threading.Thread(target=come_later)
    with locks.if_free("disk"):
        thread.start()
        order.append("first")
    thread.join()
    assert order == ["first", "later"]

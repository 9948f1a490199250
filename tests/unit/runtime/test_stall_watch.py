import threading

from mqguard.runtime.process import StallWatch
from tests.fixtures.waiting import eventually


def test_a_stall_is_logged_with_its_place_and_its_end(caplog):
    watch, released, ticking = StallWatch(stall_s=0.2), threading.Event(), threading.Event()

    def a_plugin_that_does_not_return():
        released.wait(60)

    def loop():
        watch.start()
        a_plugin_that_does_not_return()
        while not ticking.wait(0.02):
            watch.tick()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        assert eventually(lambda: "has served no request for" in caplog.text)
        assert "a_plugin_that_does_not_return" in caplog.text
        released.set()
        assert eventually(lambda: "serves requests again" in caplog.text)
    finally:
        released.set()
        ticking.set()
        thread.join()
        watch.close()

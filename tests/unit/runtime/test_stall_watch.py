import threading
import time

from mqguard.runtime.process import StallWatch


def wait_for(text, caplog, seconds=20):
    end = time.monotonic() + seconds
    while text not in caplog.text and time.monotonic() < end:
        time.sleep(0.01)
    return text in caplog.text


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
        assert wait_for("has served no request for", caplog)
        assert "a_plugin_that_does_not_return" in caplog.text
        released.set()
        assert wait_for("serves requests again", caplog)
    finally:
        released.set()
        ticking.set()
        thread.join()
        watch.close()

"""The memory that a script uses is measured, and one that uses too much is ended."""

import signal


def test_memory_over_the_limit_ends_the_script(launch):
    """A script that takes more than its memory is ended for that, and the peak says how much it was."""
    one = launch(
        """
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("small")
        time.sleep(1)
        block = bytearray(b"x") * (300 << 20)
        print("big")
        time.sleep(600)
        """,
        memory_bytes=200 << 20,
    )
    end = one.end()
    assert end["cause"] == "memory"
    assert (end["signal"], end["exit_code"]) == (signal.SIGKILL, None)
    assert 200 << 20 < end["peak_memory_bytes"] < 400 << 20
    assert "small" in one.output


def test_memory_a_little_over_leaves_a_moment(launch):
    """Less than a tenth over the limit, a script hears SIGTERM and may say its last words."""
    one = launch(
        """
        import signal, sys, time
        def last(*_):
            print("last words")
            sys.exit(9)
        signal.signal(signal.SIGTERM, last)
        block = bytearray(b"x") * (200 << 20)
        time.sleep(600)
        """,
        memory_bytes=200 << 20,
    )
    end = one.end()
    assert (end["cause"], end["exit_code"]) == ("memory", 9)
    assert "last words" in one.output


def test_memory_counts_all_processes_and_shared_pages_once(launch):
    """Eight processes that share 100 MB stay below 200 MB; four more with 40 MB of their own do not."""
    one = launch(
        """
        import os, time
        block = bytearray(b"x") * (100 << 20)
        for _ in range(8):
            if os.fork() == 0:
                time.sleep(600)
        time.sleep(3)
        print("shared", flush=True)
        for _ in range(4):
            if os.fork() == 0:
                own = bytearray(b"x") * (40 << 20)
                time.sleep(600)
        time.sleep(600)
        """,
        memory_bytes=200 << 20,
    )
    events = one.events()
    assert "shared" in one.output
    assert events[-1]["cause"] == "memory"
    usage = [event["memory_bytes"] for event in events if event["event"] == "usage"]
    assert 100 << 20 < max(usage) < 200 << 20


def test_fast_eater_is_caught_early(launch):
    """A script that takes memory as fast as it can is ended long before it has ten times its limit."""
    one = launch(
        """
        import time
        time.sleep(0.7)
        blocks = []
        for _ in range(100):
            blocks.append(bytearray(b"x") * (20 << 20))
        print("ate it all")
        """,
        memory_bytes=200 << 20,
    )
    end = one.end()
    assert (end["cause"], "ate it all" in one.output) == ("memory", False)
    assert end["peak_memory_bytes"] < 1 << 30


def test_usage_is_reported_while_a_script_runs(launch):
    """Memory, its peak and the processor time come every two seconds."""
    one = launch("""
        import time
        block = bytearray(b"x") * (50 << 20)
        while time.process_time() < 1:
            pass
        del block
        time.sleep(3.5)
        """)
    usage = [event for event in one.events() if event["event"] == "usage"]
    assert len(usage) >= 3
    assert usage[-1]["peak_memory_bytes"] > 50 << 20 > usage[-1]["memory_bytes"] > 1 << 20
    assert 0.9 < usage[-1]["cpu_seconds"] < 3

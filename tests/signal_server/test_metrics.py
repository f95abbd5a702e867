import dataclasses

from signal_server.metrics import Counters, render_metrics


def test_every_counter_is_rendered_once() -> None:
    names = [field.name for field in dataclasses.fields(Counters)]
    text = render_metrics(Counters(**{name: 100 + index for index, name in enumerate(names)}))
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert sorted(int(line.split()[1]) for line in lines) == [100 + i for i in range(len(names))]
    assert "rtcsend_mailboxes 100" in lines
    assert text.endswith("\n")
    assert text.count("# TYPE rtcsend_pairings_total counter\n") == 1

"""Reads event streams as their bytes come."""

import json


def frames(text):
    """The events of a stream's text: a list of (event's name or None, data). Comments are left out."""
    events = []
    for frame in text.replace("\r\n", "\n").split("\n\n"):
        name, data = None, []
        for line in frame.split("\n"):
            if line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))
        if data:
            events.append((name, "\n".join(data)))
    return events


def chunks(text):
    """An OpenAI stream's chunks, without the `[DONE]` that must end it."""
    data = [data for _, data in frames(text)]
    assert data and data[-1] == "[DONE]", f"no [DONE] at the end: {text[-300:]!r}"
    return [json.loads(one) for one in data[:-1]]


def text_of(openai_chunks):
    return "".join(choice["delta"].get("content") or "" for chunk in openai_chunks for choice in chunk["choices"])


def widget_events(text):
    return [(name, json.loads(data)) for name, data in frames(text)]


def widget_text(events):
    return "".join(data["text"] for name, data in events if name == "token")

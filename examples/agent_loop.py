"""An agent that answers every question on a bus once, even if it crashes in between.

Usage: python agent_loop.py BUS PROJECT       (Ctrl-C, or a message of type SHUTDOWN, ends it)

Its state is on the bus itself: a question is done when an answer refers to it. The idempotency key
keeps a second run, which has not seen the answer of the first, from storing another answer.
"""

from __future__ import annotations

import sys

from messagebus import Draft, Message, MessageBus, Parent


def think(question: str) -> str:
    """A stand-in for a model."""
    return f"You asked: {question}"


def answer(bus: MessageBus, project: str, question: Message) -> Message:
    """Answer a question; repeating it changes nothing."""
    draft = Draft(
        "ANSWER",
        project,
        think(question.body),
        task_id=question.task_id,
        parents=[Parent(question.msg_id, "answers")],
    )
    return bus.append_message(draft, idempotency_key=f"answer {question.msg_id}")


def open_questions(messages: list[Message]) -> list[Message]:
    """The questions that no answer refers to."""
    answered = {parent.msg_id for message in messages if message.type == "ANSWER" for parent in message.parents}
    return [message for message in messages if message.type == "QUESTION" and message.msg_id not in answered]


def main(path: str, project: str) -> None:
    with MessageBus(path) as bus:
        past = bus.read_messages()
        for question in open_questions(past):
            answer(bus, project, question)
        for message in bus.follow(past[-1].msg_id if past else None):
            if message.type == "QUESTION":
                answer(bus, project, message)
            elif message.type == "SHUTDOWN":
                return


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: agent_loop.py BUS PROJECT")
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
